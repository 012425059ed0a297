// Shows how far something is without a reload: asks for the page again and takes over its parts
// that tell of it, until it is over. A page without this script is loaded anew instead.
"use strict";
(() => {
	const every = 2000;
	const focused = (part) => part.contains(document.activeElement);
	const look = async () => {
		const parts = [...document.querySelectorAll("[data-live]")];
		if (!parts.some((part) => part.dataset.live === "running")) return;
		if (document.visibilityState === "visible") {
			try {
				const answer = await fetch(location.href, {cache: "no-store", redirect: "error"});
				if (!answer.ok) return;
				const page = new DOMParser().parseFromString(await answer.text(), "text/html");
				for (const part of parts) {
					const now = page.getElementById(part.id);
					if (!now || now.dataset.told === part.dataset.told) continue;
					const had = focused(part);
					part.dataset.live = now.dataset.live;
					part.dataset.told = now.dataset.told;
					part.replaceChildren(...now.childNodes);
					if (had) document.getElementById("content").focus();
				}
			} catch {
				// the network is away: the next look may find it
			}
		}
		setTimeout(look, every);
	};
	setTimeout(look, every);
})();
