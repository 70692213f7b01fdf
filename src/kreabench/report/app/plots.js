// plotly.js as this page uses it: one look, resized with the page, points reached by keyboard.
