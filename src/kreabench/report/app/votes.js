// Strengths that blind votes give the settings, a chart for each run that was voted on. The tables below it are the page's.

parts.set("votes", (element) => {
  const nameOf = (id) => settings.get(id)?.short ?? id;
  const runName = (id) => report.runs.find((run) => run.id === id)?.name ?? id;
  const linesOf = (one) => {
    const { value, low, high, n } = one.strength;
    const ends = low === null ? "" : ` (${significant(low)} to ${significant(high)})`;
    return [nameOf(one.setting), `strength ${significant(value)}${ends}`, `${one.wins} won, ${one.losses} lost, ${one.ties} tied`, `${n} votes`];
  };
  // In two lines where there is little room: target and acceleration, and the rest.
  const tickText = (id, narrow) => {
    const name = nameOf(id);
    const at = narrow ? name.indexOf(", ") : -1;
    return at < 0 ? plotText(name, 60) : `${plotText(name.slice(0, at), 24)}<br>${plotText(name.slice(at + 2), 24)}`;
  };
  const draw = (chart, votes) => {
    const there = new Set(shown().map((one) => one.id));
    const drawn = votes.strengths.filter((one) => one.strength && there.has(one.setting)).reverse();
    const label = `Strengths by blind votes${report.runs.length > 1 ? `, ${runName(votes.run)}` : ""}`;
    const trace = (group, mark) => ({
      name: `group ${group + 1}`,
      mode: "markers",
      series: mark,
      mark,
      points: drawn
        .filter((one) => one.group === group)
        .map((one) => ({
          x: one.strength.value,
          xLow: one.strength.low,
          xHigh: one.strength.high,
          y: drawn.indexOf(one),
          id: one.setting,
          lines: linesOf(one),
        })),
    });
    const groups = [...new Set(drawn.map((one) => one.group))].sort((one, two) => one - two);
    const layout = (width) => ({
      height: 90 + 30 * Math.max(drawn.length, 1),
      showlegend: groups.length > 1,
      margin: { l: 16 },
      xaxis: { title: "Strength (log odds), → better" },
      yaxis: {
        tickmode: "array",
        tickvals: drawn.map((_, at) => at),
        ticktext: drawn.map((one) => tickText(one.setting, width < 560)),
        tickfont: { size: width < 560 ? 10 : 12 },
        range: [-0.7, Math.max(drawn.length, 1) - 0.3],
        zeroline: false,
      },
      uirevision: votes.run,
    });
    plot(chart, groups.map(trace), layout, { label, describe: `${drawn.length} settings, the strongest on top.`, select: openSetting });
  };
  for (const votes of report.votes) {
    const chart = h("div");
    if (report.runs.length > 1) element.append(h("h3", {}, bdi(runName(votes.run))));
    element.append(h("p", { class: "caption" }, "Whiskers are 95 % intervals over prompts. Only settings of one group can be compared."), chart);
    whenNear(chart, ["shown"], () => draw(chart, votes));
  }
});
