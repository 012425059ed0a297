// Moves through the log's table by keys, while something in the table has the focus and nowhere else.
"use strict";
(() => {
	const table = document.getElementById("events");
	if (!table) return;
	const links = [...table.querySelectorAll("th a")];
	const step = (by) => {
		const at = links.indexOf(document.activeElement.closest("tr")?.querySelector("th a"));
		links[Math.min(Math.max(at + by, 0), links.length - 1)].focus();
	};
	const fill = (id) => {
		const field = document.getElementById(id);
		field.closest("details").open = true;
		field.focus();
	};
	const does = {
		j: () => step(1), k: () => step(-1), n: () => document.getElementById("next")?.click(),
		g: () => fill("leaf"), "/": () => fill("filter-category"),
	};
	table.addEventListener("keydown", (e) => {
		const act = does[e.key];
		if (!act || e.altKey || e.ctrlKey || e.metaKey) return;
		e.preventDefault();
		act();
	});
	document.getElementById("keys").hidden = false;
})();
