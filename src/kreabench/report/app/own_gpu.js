// Sums of an own GPU, as in analysis/break_even.py.

const ownGpu = (() => {
  const DAY_S = 86400;
  const HOUR_S = 3600;
  const KWH_J = 3.6e6;
  const POINTS = 60;

  const capacityOf = (gpu) => (Math.max(DAY_S - gpu.loads * gpu.loadS, 0) * gpu.use) / gpu.seconds;
  const fixedOf = (gpu, mode) => (gpu.hour * (mode === "all_day" ? DAY_S : gpu.loads * gpu.loadS)) / HOUR_S;
  const marginalOf = (gpu, mode) => {
    const power = (gpu.joule / KWH_J) * gpu.kwh;
    return mode === "all_day" ? power : power + (gpu.hour * gpu.seconds) / gpu.use / HOUR_S;
  };
  const imageUsd = (gpu, mode, images) => fixedOf(gpu, mode) / images + marginalOf(gpu, mode);
  const crossing = (gpu, api, mode) => {
    const room = api - marginalOf(gpu, mode);
    return room > 0 ? fixedOf(gpu, mode) / room : null;
  };
  // Images a day from which the own GPU costs less, with the interval of the latency alone; or why never.
  const breakEven = (gpu, api, mode) => {
    const images = crossing(gpu, api, mode);
    const capacity = capacityOf(gpu);
    if (images === null) return { images, reason: "one more image of its own costs as much as the service's, or more" };
    if (images > capacity) {
      return {
        images: null,
        reason: `it would take ${fixed(images, 0)} images a day, and one device draws ${fixed(capacity, 0)} at most`,
      };
    }
    const seconds = gpu.low === null || gpu.high === null ? [] : [gpu.low, gpu.high];
    const ends = seconds.map((end) => crossing({ ...gpu, seconds: end }, api, mode));
    const [low = null, high = null] = ends;
    return { images, low, high: low !== null && high === null ? Infinity : high, reason: "" };
  };
  const dayCounts = (most) => {
    const least = Math.min(1, most);
    return Array.from({ length: POINTS }, (_, at) => least * (most / least) ** (at / (POINTS - 1)));
  };

  return { capacityOf, imageUsd, breakEven, dayCounts };
})();
