package show

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/mezusphere/mezu/daemon/inspect"
	"github.com/mezusphere/mezu/daemon/inspect/inspecttest"
	"github.com/mezusphere/mezu/local"
)

// Bodies are undone once for a filter, however often it is asked for, and again for what has changed.
func TestSearch(t *testing.T) {
	var all []inspecttest.Exchange
	for n := range 20 {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		fmt.Fprintf(w, "body number-%d.", n)
		w.Close()
		all = append(all, inspecttest.Exchange{ID: fmt.Sprint("id-", n), Target: fmt.Sprint("/", n), AnswerFields: []string{"Content-Encoding: gzip"}, AnswerBody: b.Bytes()})
	}
	i := inspect.New(inspect.Config{})
	inspecttest.Keep(i, all...)
	s := New(Config{Inspector: i, Now: time.Now})
	finds := func(filter, want string) {
		t.Helper()
		page, err := s.Requests(t.Context(), local.RequestsQuery{Filter: filter})
		got := ""
		for _, x := range page.Items {
			got += x.Path
		}
		if err != nil || got != want {
			t.Errorf("%s finds %q, %v; want %q", filter, got, err, want)
		}
	}
	finds("text:number-7.", "/7")
	finds("is:pinned text:number-7.", "")
	if _, err := s.Pin("id-7", true); err != nil {
		t.Fatal(err)
	}
	finds("is:pinned text:number-7.", "/7")
	said := s.searches[0].said
	if len(said) != 20 {
		t.Fatalf("it is known of %d", len(said))
	}
	for revision := range said {
		said[revision] = false
	}
	finds("text:number-7.", "/7") // its revision is another one
	finds("text:number-6.", "/6")
	for revision := range said {
		said[revision] = false // as if nothing had been found
	}
	finds("text:number-7.", "")
	finds("AG\"\"E:<5m text:number-7.", "/7") // which changes by itself
	for n := range 2 * maxSearches {
		finds(fmt.Sprintf("text:number-%d.", n), fmt.Sprint("/", n))
	}
	if len(s.searches) != maxSearches {
		t.Errorf("%d searches are known", len(s.searches))
	}
	finds("text:number-7.", "/7")
}

// Whoever waits no longer costs nothing more, and removes nothing; who searches meanwhile is waited for.
func TestSearchCut(t *testing.T) {
	i := inspect.New(inspect.Config{})
	inspecttest.Keep(i, inspecttest.Exchange{ID: "id-1", Target: "/", Body: []byte("here")})
	s := New(Config{Inspector: i, Now: time.Now})
	s.searching <- struct{}{} // somebody does
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := s.Requests(ctx, local.RequestsQuery{Filter: "text:here"})
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if page, err := s.Requests(t.Context(), local.RequestsQuery{Filter: "path:/"}); err != nil || len(page.Items) != 1 {
		t.Errorf("%+v, %v", page, err)
	}
	<-s.searching
	if c, err := s.Clear(ctx, "text:here"); err == nil || c.Removed != 0 {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := s.Clear(t.Context(), "text:here"); err != nil || c.Removed != 1 {
		t.Errorf("%+v, %v", c, err)
	}
}
