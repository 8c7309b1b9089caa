package folder

import (
	"cmp"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
)

// maxListed bounds the entries of a listing: more than anybody reads.
const maxListed = 2_000

// entry is one line of a listing.
type entry struct {
	name string
	dir  bool
	size int64
	time string
}

// list shows what a folder holds, without what would not be served.
func (f *Folder) list(w http.ResponseWriter, r *http.Request, name string) error {
	entries, more, err := f.entries(name)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'")
	if r.Method == http.MethodHead {
		return nil
	}
	title := html.EscapeString(path.Join("/", name))
	var b strings.Builder
	fmt.Fprintf(&b, "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>%s</title>\n<h1>%s</h1>\n<table>\n", title, title)
	if name != "." {
		b.WriteString("<tr><td><a href=\"../\">../</a><td><td>\n")
	}
	for _, e := range entries {
		slash, size := "", fmt.Sprint(e.size)
		if e.dir {
			slash, size = "/", ""
		}
		fmt.Fprintf(&b, "<tr><td><a href=\"./%s%s\">%s%s</a><td>%s<td>%s\n", url.PathEscape(e.name), slash, html.EscapeString(e.name), slash, size, e.time)
	}
	b.WriteString("</table>\n")
	if more {
		fmt.Fprintf(&b, "<p>These are %d of more.</p>\n", maxListed)
	}
	io.WriteString(w, b.String())
	return nil
}

// entries reads a folder, its folders first. more says that it holds more.
func (f *Folder) entries(name string) (out []entry, more bool, err error) {
	dir, err := f.root.Open(name)
	if err != nil {
		return nil, false, err
	}
	defer dir.Close()
	const step = 256
	for !more {
		names, err := dir.ReadDir(step)
		for _, d := range names {
			if len(out) == maxListed {
				more = true
				break
			}
			if _, ok := fileName(&url.URL{Path: "/" + d.Name()}); !ok {
				continue
			}
			info, err := f.root.Stat(path.Join(name, d.Name()))
			if err != nil || !info.IsDir() && !info.Mode().IsRegular() {
				continue // a link that leads outside, a device
			}
			out = append(out, entry{d.Name(), info.IsDir(), info.Size(), info.ModTime().UTC().Format("2006-01-02 15:04")})
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, false, err
		}
	}
	slices.SortFunc(out, func(a, b entry) int {
		if a.dir != b.dir {
			return map[bool]int{true: -1, false: 1}[a.dir]
		}
		return cmp.Compare(a.name, b.name)
	})
	return out, more, nil
}
