// Before anything is painted: the theme that the reader chose last.
try {
  const theme = localStorage.getItem("kreabench-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // A browser may forbid it for files: then the page is as the system has it.
}
