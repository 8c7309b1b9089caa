import { words } from './words.js'

const show = (text) => {
  document.querySelector('#words').textContent = text
}

show(words)
window.loadedAt = performance.timeOrigin

if (import.meta.hot) {
  // A hot update changes the page that is there; a reload would make another one.
  import.meta.hot.accept('./words.js', (next) => show(next.words))
}
