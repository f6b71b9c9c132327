// Browsers do not start a web worker from a page that was opened from a file. This one runs the worker's script in a hidden frame
// instead, so that the search of the site works there too. On a server the browser's own worker is used.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.waiting = []
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.appendChild(frame)
      const inside = (this.inside = frame.contentWindow)
      inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
      inside.importScripts = (...urls) => Promise.all(urls.map(source => load(inside, source)))
      load(inside, url).then(() => {
        for (const data of this.waiting) this.hand(data)
        this.waiting = null
      })
    }
    postMessage(data) {
      if (this.waiting) this.waiting.push(data)
      else this.hand(data)
    }
    hand(data) {
      this.inside.dispatchEvent(new this.inside.MessageEvent("message", { data }))
    }
    terminate() {
      this.inside.frameElement.remove()
    }
  }
  function load(target, source) {
    return new Promise((resolve, reject) => {
      const script = target.document.createElement("script")
      script.src = new URL(source, location.href).href
      script.onload = resolve
      script.onerror = reject
      target.document.body.appendChild(script)
    })
  }
}
