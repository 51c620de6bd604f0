// What each second was like, where the pointer is. The page is complete without it.
(() => {
  const { frame, phases, stacks } = JSON.parse(document.getElementById("figures").textContent);
  const plots = document.getElementById("plots");
  const make = (name, parent) => {
    const made = parent.appendChild(document.createElement("div"));
    made.className = name;
    made.hidden = true;
    return made;
  };
  const cursor = make("cursor", plots);
  const readout = make("readout", plots);
  const clock = (ms) => `${Math.floor(ms / 60000)}:${String(Math.floor((ms % 60000) / 1000)).padStart(2, "0")}`;
  const latency = (ms) => (ms == null ? "–" : `${ms < 100 ? ms.toFixed(1) : Math.round(ms)} ms`);
  const told = (name, [requests, answered, degraded, refused, failed, p50, p99]) =>
    `${name}\n  ${answered} of ${requests} answered, ${degraded} degraded\n  ${refused} refused, ${failed} failed\n` +
    `  p50 ${latency(p50)}, p99 ${latency(p99)}`;

  const hide = () => { cursor.hidden = readout.hidden = true; };
  const show = (event) => {
    const box = plots.getBoundingClientRect();
    const scale = box.width / frame.width;
    const x = event.clientX - box.left;
    const share = (x / scale - frame.left) / (frame.width - frame.left - frame.right);
    if (share < 0 || share >= 1) return hide();
    const ms = share * frame.length;
    const second = Math.floor(ms / 1000);
    const phase = phases.find(({ from, to }) => from <= ms && ms < to);
    const lines = [`${clock(ms)}  ${phase ? phase.name : ""}`];
    for (const { name, seconds } of stacks) if (seconds[second]) lines.push(told(name, seconds[second]));
    readout.textContent = lines.join("\n");
    cursor.hidden = readout.hidden = false;
    cursor.style.left = `${x}px`;
    const right = x + readout.offsetWidth + 24 > box.width;
    readout.style.left = `${right ? x - readout.offsetWidth - 12 : x + 12}px`;
    readout.style.top = `${Math.max(0, event.clientY - box.top - readout.offsetHeight / 2)}px`;
  };
  plots.addEventListener("pointermove", show);
  plots.addEventListener("pointerleave", hide);
})();
