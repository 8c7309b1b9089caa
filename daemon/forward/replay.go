package forward

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"

	"github.com/mezusphere/mezu/preface"
)

// Repeat is a request that is sent once more without an edge.
type Repeat struct {
	// Client, ID and Grant are what an edge would say of it.
	Client netip.Addr
	ID     string
	Grant  []byte
	// Text is the request in HTTP/1.1.
	Text []byte
}

// Replay judges and carries a request as one that an edge sends. Nobody gets the response but
// tape. It returns when the connection that it takes has ended, which it does with ctx: whoever
// gave tape ends that behind the exchange.
func (f *Forwarder) Replay(ctx context.Context, r *Repeat, tape Tape) {
	own, edge := net.Pipe()
	var sides sync.WaitGroup
	sides.Go(func() { io.Copy(io.Discard, edge) })
	sides.Go(func() {
		// No edge has judged it, by no configuration: what is said of it here is the only word.
		info := preface.Request{Client: r.Client, ID: r.ID, Grant: r.Grant}
		edge.Write(append(preface.AppendRequest(nil, &info), r.Text...))
	})
	f.serve(ctx, own, tape)
	own.Close()
	edge.Close()
	sides.Wait()
	tape.Close()
}
