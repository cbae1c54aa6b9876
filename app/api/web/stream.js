// Server-sent events by fetch: unlike an EventSource, it can send the token.

import { headers, refusal } from "./api.js";

/** One stream, until it ends or is closed; whoever opened it opens the next one. */
export class Stream {
  closed = false;
  #abort = new AbortController();

  /** ``receive(data)`` gets every event; ``end(refusal)`` is told why there are no more, null where the line broke. */
  constructor(url, receive, end) {
    this.#read(url, receive)
      .catch(() => null)
      .then((refused) => {
        this.closed = true;
        if (!this.#abort.signal.aborted) end(refused);
      });
  }

  close() {
    this.closed = true;
    this.#abort.abort();
  }

  async #read(url, receive) {
    const { signal } = this.#abort;
    const response = await fetch(url, { headers: headers({ Accept: "text/event-stream" }), signal });
    if (!response.ok) return refusal(response);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ""; ; ) {
      const { done, value } = await reader.read();
      if (done || signal.aborted) return null;
      const events = (text + value).split("\n\n");
      text = events.pop();
      for (const event of events) if (event.startsWith("data: ")) receive(JSON.parse(event.slice(6)));
    }
  }
}
