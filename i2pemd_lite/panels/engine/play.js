// What plays a slider, as a film: play and pause, one step forwards, speed. `go` is told where each step leads. `anew`
// shows it from beginning to end: in some seconds whatever the speed, or the end alone where the reader wants no motion.
const SPEEDS = { "½×": 300, "1×": 150, "3×": 50 }; // milliseconds of a step
const USES = ["click", "input"];

function player(range, name, go) {
  const button = (textContent, words) =>
    Object.assign(document.createElement("button"), { type: "button", textContent, ariaLabel: `${words} ${name}` });
  const [play, once] = [button("▶", "play"), button("❚▶", "one step of")];
  const speed = Object.assign(document.createElement("select"), { ariaLabel: `speed of ${name}` });
  speed.append(...Object.keys(SPEEDS).map((words) => new Option(words, words, words === "1×", words === "1×")));
  const atEnd = () => Number(range.value) >= Number(range.max);
  let timer = null;
  let at; // where the film has put the slider; whoever moves it elsewhere ends the film
  function pause() {
    for (const kind of USES) document.removeEventListener(kind, used, true);
    clearTimeout(timer);
    timer = null;
    Object.assign(play, { textContent: "▶", ariaLabel: `play ${name}` });
  }
  function start(pace) {
    Object.assign(play, { textContent: "❚❚", ariaLabel: `pause ${name}` });
    for (const kind of USES) document.addEventListener(kind, used, true);
    at = range.value;
    timer = setTimeout(run, pace ?? 0, pace);
  }
  function step() {
    if (atEnd()) range.value = range.min;
    else range.stepUp();
    go(Number(range.value));
    at = range.value;
  }
  function run(pace) {
    if (range.value !== at) return pause();
    step();
    if (atEnd() || !range.isConnected) pause();
    else timer = setTimeout(run, pace ?? SPEEDS[speed.value], pace);
  }
  function anew() {
    pause();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return go(Number(range.max));
    range.value = range.min;
    start(60);
  }
  play.addEventListener("click", () => {
    if (timer) return pause();
    start();
  });
  once.addEventListener("click", () => (pause(), step()));
  const buttons = Object.assign(document.createElement("span"), { className: "play" });
  buttons.append(play, once, speed);
  // Whoever uses another control of the panel, Reset too, ends the film.
  const panel = (node) => node.closest?.(".i2pemd-panel, .i2pemd-moves");
  const used = ({ type, target }) => {
    const acts = type === "input" || target.closest?.("button"); // a slider that is let go is clicked, too
    if (acts && !buttons.contains(target) && panel(target) === panel(range)) pause();
  };
  return { buttons, anew };
}
