// Text that would do harm if the page took it for anything but text.

export const HOSTILE = [
  '<img src=x onerror="document.title=\'owned\'">',
  '<script>document.title="owned"</script>',
  'javascript:alert(1)',
  '\u202Eevil\u0000\u001b[31mred\u001b[0m\u001b]8;;http://x\u0007link\u001b]8;;\u0007',
  'x'.repeat(20_000),
];

/** Nothing of it ran, or made an element. @param {import('playwright-core').Page} page */
export async function harmless(page) {
  const made = await page.evaluate(() => [document.title.includes('owned'), document.querySelectorAll('#app img, #app script').length]);
  if (made[0] || made[1]) throw new Error(`foreign text has become more than text: ${made}`);
}

/** Whether the page is wider than its window. @param {import('playwright-core').Page} page */
export const overflow = (page) =>
  page.evaluate(() => {
    const main = document.querySelector('main');
    return Math.max(document.documentElement.scrollWidth - innerWidth, main ? main.scrollWidth - main.clientWidth : 0);
  });
