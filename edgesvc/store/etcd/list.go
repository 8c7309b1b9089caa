package etcd

import (
	"context"
	"fmt"

	engine "go.etcd.io/etcd/client/v3"

	"github.com/mezusphere/mezu/edgesvc/store"
)

const (
	// firstRead is how many records the first read of a page asks for. Their size is not
	// known yet; it is 16 MiB at most.
	firstRead = 32
	// maxRead bounds the bytes that one further read is expected to bring.
	maxRead = store.MaxPageBytes
)

// List reads a page of the records with the prefix.
func (db *DB) List(ctx context.Context, prefix, token string, limit int) (store.Page, error) {
	return db.list(ctx, prefix, token, limit, db.fresh)
}

// list reads a page in a few reads, all at the revision of the first. etcd can't bound an
// answer in bytes. Therefore each read asks for as many records as should fit, by the mean
// size of those before.
func (db *DB) list(ctx context.Context, prefix, token string, limit int, read readFunc) (store.Page, error) {
	after, err := store.ParsePageToken(prefix, token)
	if err != nil {
		return store.Page{}, err
	}
	limit = store.PageLimit(limit)
	if err := db.enter(ctx); err != nil {
		return store.Page{}, err
	}
	defer db.leave()
	start, end := db.space.record(prefix), db.space.end(prefix)
	if after != "" {
		start = db.space.after(after)
	}
	var page store.Page
	var revision int64
	size, want := 0, min(limit, firstRead)
	for {
		opts := []engine.OpOption{engine.WithRange(end), engine.WithLimit(int64(want))}
		if revision != 0 {
			opts = append(opts, engine.WithRev(revision))
		}
		resp, err := read(ctx, start, opts...)
		if err != nil {
			return store.Page{}, fmt.Errorf("listing %q: %w", prefix, err)
		}
		if revision == 0 {
			revision = resp.Header.Revision
			page.Position = db.position(revision)
		}
		for i, kv := range resp.Kvs {
			r, err := db.space.decode(kv)
			if err != nil {
				return store.Page{}, fmt.Errorf("listing %q: %w", prefix, err)
			}
			page.Records = append(page.Records, r)
			size += len(r.Key) + len(r.Value)
			if size >= store.MaxPageBytes && (resp.More || i+1 < len(resp.Kvs)) {
				page.Next = store.PageToken(r.Key)
				return page, nil
			}
		}
		if !resp.More {
			return page, nil
		}
		last := page.Records[len(page.Records)-1].Key
		if len(page.Records) == limit {
			page.Next = store.PageToken(last)
			return page, nil
		}
		start = db.space.after(last)
		mean := max(1, size/len(page.Records))
		want = min(limit-len(page.Records), max(1, min(maxRead, store.MaxPageBytes-size)/mean))
	}
}

// Stale gives a reader whose reads are answered by one member alone.
func (db *DB) Stale() store.Reader { return &stale{db: db} }
