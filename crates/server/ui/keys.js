// Keys, where several views treat them alike.

/** Whether keys go into a field. @param {EventTarget | null} target */
export const isTyping = (target) => target instanceof HTMLElement && /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) && !target.matches('[type=checkbox], [type=radio]');

/** Whether a key is for a view's own shortcuts: no field takes it, no dialog is open, and it is no shortcut of the browser. @param {KeyboardEvent} event */
export const isShortcut = (event) =>
  !(event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector('dialog[open]'));

/** What a key does on a row: the button there that names it. @param {Element | null | undefined} row @param {string} key */
export function press(row, key) {
  const button = /^[a-z]$/.test(key) ? row?.querySelector(`[data-key="${key}"]`) : undefined;
  if (!(button instanceof HTMLElement)) return false;
  button.click();
  return true;
}
