// Shows how something goes without a reload: asks for the page again and takes over its parts that
// tell of it, until it is over, the session has ended, or somebody stops it. A part that somebody is
// in stays as it is while it goes on. What this script asks for does not keep a session open.
"use strict";
(() => {
	const parts = [...document.querySelectorAll("[data-live]")];
	const every = Number(parts[0]?.dataset.every) || 2000; // milliseconds
	const told = (part) => part.dataset.told ?? part.innerHTML;
	const look = async () => {
		if (!parts.some((part) => part.dataset.live === "running")) return;
		if (document.visibilityState === "visible") {
			try {
				const answer = await fetch(location.href, {cache: "no-store", redirect: "manual", headers: {"Coffre-Unattended": "yes"}});
				if (!answer.ok) return;
				const page = new DOMParser().parseFromString(await answer.text(), "text/html");
				for (const part of parts) {
					const now = page.getElementById(part.id);
					const within = part.contains(document.activeElement);
					if (!now || told(now) === told(part) || within && now.dataset.live === "running") continue;
					part.dataset.live = now.dataset.live;
					if (now.dataset.told) part.dataset.told = now.dataset.told;
					part.replaceChildren(...now.childNodes);
					if (within) document.getElementById("content").focus();
				}
			} catch {
				// the network is away: the next look may find it
			}
		}
		setTimeout(look, every);
	};
	setTimeout(look, every);
	document.getElementById("refreshed")?.removeAttribute("hidden");
})();
