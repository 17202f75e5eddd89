// countdown: counts down what the server said is left; the browser's own clock may be wrong, so only what has passed counts.
'use strict';

function words(seconds) {
  const s = Math.max(Math.floor(seconds), 0), h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
  return [h && `${h} h`, (h || m) && `${m} min`, !h && `${s % 60} s`].filter(Boolean).join(' ');
}

for (const life of document.querySelectorAll('.life')) {
  const began = performance.now(), given = Number(life.dataset.left);
  const tick = () => {
    const left = Math.max(given - (performance.now() - began) / 1000, 0);
    life.querySelector('.left').textContent = words(left);
    life.querySelector('progress').value = left;
    life.classList.toggle('over', left === 0);
    if (left > 0) setTimeout(tick, 1000 - ((performance.now() - began) % 1000));
  };
  tick();
}
