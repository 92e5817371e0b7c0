// What a page can do beyond links and forms. Without this script every page still works.
"use strict";

// Times are written in UTC; show them in the reader's own zone.
function showLocalTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const time = new Date(element.dateTime);
    if (!Number.isNaN(time.getTime())) {
      element.title = element.textContent;
      element.textContent = time.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
    }
  }
}

document.addEventListener("DOMContentLoaded", () => showLocalTimes(document));
