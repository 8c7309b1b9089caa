package forward

import (
	"errors"
	"io"
	"os"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/relay"
)

// noWorkload is the answer to a request for another protocol where there is no workload.
const noWorkload = "there is no workload here that could speak another protocol: this tunnel records requests and answers them itself\n"

// capture answers a request in the place of a workload, once all of it has come.
func (w *worker) capture() error {
	if err := w.takeBody(); err != nil {
		return err
	}
	c := w.to.Capture
	status, kind, text := c.Status, c.MediaType, c.Body
	switch {
	case w.upgrade != "":
		status, kind, text = statusNotImplemented, "text/plain; charset=utf-8", []byte(noWorkload)
	case status == 0:
		status = statusOK
	}
	a := answer{status: status, text: text}
	if kind != "" {
		a.fields = [][2]string{{"content-type", kind}}
	}
	return w.answerItself(&a)
}

// takeBody reads the body of a request that goes to no workload to its end.
func (w *worker) takeBody() error {
	if w.req.Expect && w.downstream(mezu.Upstream{}).Interim(nil) != nil {
		return relay.ErrClientGone
	}
	w.c.ReadWithin(w.route.IdleTimeout)
	src := w.downstream(mezu.Upstream{}).Source()
	for {
		_, err := src.Next()
		w.x.BytesIn = w.c.Body.Bytes()
		switch {
		case err == nil:
		case err == io.EOF:
			return nil
		case errors.Is(err, relay.ErrOverrun):
			return relay.ErrOverrun
		case errors.Is(err, relay.ErrBody):
			return &mezu.Error{Code: mezu.CodeNotCanonical, Detail: "the request body is malformed", Cause: err}
		case errors.Is(err, os.ErrDeadlineExceeded) && w.ctx.Err() == nil:
			return relay.ErrSlowBody
		default:
			return relay.ErrClientGone
		}
	}
}
