// Asks for the page again now and then, and puts what changed in place of what is shown.
"use strict";
(function () {
  const live = () => document.getElementById("live");
  const logs = () => [...document.querySelectorAll(".log")];
  const atEnd = (log) => log.scrollHeight - log.scrollTop - log.clientHeight < 30;
  const toEnd = (log) => { log.scrollTop = log.scrollHeight; };

  async function refresh() {
    const shown = live(), seconds = Number(shown.dataset.seconds);
    if (!seconds) return;
    try {
      const selected = String(document.getSelection());  // of someone who copies from the page
      if (!document.hidden && !selected) {
        const answer = await fetch(location.href, { signal: AbortSignal.timeout(10000) });
        if (answer.status === 403) return location.reload();
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
        if (fresh && fresh.outerHTML !== shown.outerHTML) {
          const places = logs().map((log) => (atEnd(log) ? null : log.scrollTop));
          shown.replaceWith(fresh);
          logs().forEach((log, n) => { if (places[n] == null) toEnd(log); else log.scrollTop = places[n]; });
        }
        document.body.classList.remove("stale");
      }
    } catch (error) {
      document.body.classList.add("stale");  // the endpoint is gone, or busy: what is shown is old
    }
    setTimeout(refresh, seconds * 1000);
  }

  logs().forEach(toEnd);
  setTimeout(refresh, Number(live().dataset.seconds) * 1000);
})();
