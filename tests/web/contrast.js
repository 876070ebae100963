// The text and the borders of a page with too little contrast (WCAG 2.2 AA), each with its ratio.
() => {
  const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
  const light = (channel) => (channel /= 255) <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
  const ratio = (one, other) => {
    const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
      if (colour[3] !== 0) throw new Error("a translucent background");
    }
    throw new Error("no background");
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    if (!element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    const name = `${element.tagName.toLowerCase()}.${element.className}: ${element.textContent.slice(0, 30)}`;
    if (own) {
      const size = parseFloat(style.fontSize);
      const wanted = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
      const has = ratio(channels(style.color), behind(element));
      if (has < wanted) found.push([name, has]);
    }
    if (["INPUT", "SELECT"].includes(element.tagName)) {
      const has = ratio(channels(style.borderTopColor), behind(element.parentElement));
      if (has < 3) found.push([`border of ${element.id}`, has]);
    }
  }
  return found;
}
