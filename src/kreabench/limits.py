"""What a target accepts: each function says why a value is refused, or None when it is fine."""

from __future__ import annotations

from kreabench.core.specs import AccelerationSpec, TargetSpec

NO_ACCELERATION = "none"
"""The level that every hosted endpoint has, also one that takes no level: nothing is sent there."""


def _outside(name: str, value: float | None, bounds: tuple[float, float] | None, target: TargetSpec) -> str | None:
    """A value of None asks for nothing, and is fine."""
    if value is None:
        return None
    if bounds is None:
        return f"{target.name} has no {name}"
    low, high = bounds
    return None if low <= value <= high else f"{target.name} takes {name} from {low:g} to {high:g}"


def reject_steps(target: TargetSpec, steps: int | None) -> str | None:
    """Why this target cannot run that many steps."""
    return _outside("steps", steps, target.limits.steps, target)


def reject_guidance(target: TargetSpec, guidance: float | None) -> str | None:
    """Why this target cannot use that guidance scale."""
    return _outside("guidance", guidance, target.limits.guidance, target)


def reject_strength(target: TargetSpec, strength: float | None) -> str | None:
    """Why this target cannot use that strength; None, where the task has none, is fine."""
    if strength is None:
        return None
    if target.limits.strength is None:
        return f"{target.name} takes no strength: its task is {target.task}, not image-to-image"
    return _outside("strength", strength, target.limits.strength, target)


def reject_size(target: TargetSpec, width: int, height: int) -> str | None:
    """Why this target cannot draw that many pixels."""
    limits = target.limits
    if width % limits.size_multiple or height % limits.size_multiple:
        near = tuple(max(1, round(side / limits.size_multiple)) * limits.size_multiple for side in (width, height))
        return (
            f"{target.name} takes sides that are multiples of {limits.size_multiple} px "
            f"(nearest to {width}x{height}: {near[0]}x{near[1]})"
        )
    if min(width, height) < limits.min_side_px:
        return f"{target.name} takes sides of at least {limits.min_side_px} px"
    if width * height > limits.max_pixels:
        return f"{target.name} takes at most {limits.max_pixels} pixels; {width}x{height} are {width * height}"
    return None


def reject_acceleration(target: TargetSpec, acceleration: AccelerationSpec) -> str | None:
    """Why this target cannot be accelerated that way."""
    if not target.hosted:
        return None
    if acceleration.hosted is None:
        return f"acceleration {acceleration.name} has no counterpart at a hosted service"
    if not target.accelerations:
        if acceleration.hosted == NO_ACCELERATION:
            return None
        return f"{target.name} has no acceleration; {acceleration.name} asks for {acceleration.hosted}"
    if acceleration.hosted not in target.accelerations:
        accepted = ", ".join(target.accelerations)
        return f"{target.name} takes {accepted}; {acceleration.name} asks for {acceleration.hosted}"
    return None


def reject_num_images(target: TargetSpec, num_images: int) -> str | None:
    """Why this target cannot draw that many pictures in one request."""
    return _outside("num_images", num_images, target.limits.num_images, target)


def reject_output_format(target: TargetSpec, output_format: str) -> str | None:
    """Why this target cannot deliver that format."""
    accepted = target.limits.output_formats
    return None if output_format in accepted else f"{target.name} delivers {' or '.join(accepted)}, not {output_format}"
