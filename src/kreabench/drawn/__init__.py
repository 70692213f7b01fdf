"""A world of drawn pictures that can be told exactly: what is asked for, drawn, and read back from the pixels.

One or two coloured shapes on a background. A caption names some of what a scene holds (`captions`), `render` draws
the scene, `reading` finds in a picture what it holds, and `checking` compares that with a caption. The miniature model
was trained on this world, so that everything said about its pictures has a known truth.
"""
