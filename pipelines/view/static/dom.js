// The libraries' names, in one place. Text reaches the document through Preact's text nodes only.
export const { render, h } = globalThis.preact;
export const { useEffect, useLayoutEffect, useMemo, useRef, useState } = globalThis.preactHooks;
export const html = globalThis.htm.bind(h);
