// Package folder serves a folder of files as the workload of a tunnel.
//
// What lives here: which file a path names, what may not be seen, how files are sent, and the
// private server that a Warpgate reaches. What may not: tunnels, who may see the files, flags.
// Package daemon/workload alone imports it.
package folder

import (
	"errors"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"unicode"

	"github.com/mezusphere/mezu"
)

// Config says which folder is served, and how.
type Config struct {
	// Path is the folder.
	Path string
	// Listing shows what a folder holds that has no index.html.
	Listing bool
	// SPA answers with the index.html of the folder where there is no such file, if the path
	// looks like one of a program in the browser: it has no extension.
	SPA bool
}

// Folder serves the files of a folder. It is an http.Handler.
type Folder struct {
	cfg  Config
	root *os.Root
}

// Open opens a folder. Whatever happens to its path later, the files are those of this one.
func Open(cfg Config) (*Folder, error) {
	root, err := os.OpenRoot(cfg.Path)
	if err != nil {
		var at *fs.PathError
		if errors.As(err, &at) {
			err = at.Err
		}
		return nil, mezu.Invalid("target", "the folder %s can't be opened: %v", cfg.Path, err)
	}
	return &Folder{cfg, root}, nil
}

// Close gives the folder back. No request may be under way.
func (f *Folder) Close() error { return f.root.Close() }

// index is the file that stands for its folder.
const index = "index.html"

// ServeHTTP answers one request.
func (f *Folder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache") // a file that was just saved is seen at once; an ETag spares the rest
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed)
		return
	}
	name, ok := fileName(r.URL)
	if !ok {
		refuse(w, http.StatusNotFound)
		return
	}
	err := f.serve(w, r, name)
	if errors.Is(err, fs.ErrNotExist) && f.cfg.SPA && path.Ext(name) == "" {
		err = f.file(w, r, index)
	}
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrPermission):
		refuse(w, http.StatusForbidden)
	default: // a link that leads outside is no file here, either
		refuse(w, http.StatusNotFound)
	}
}

func refuse(w http.ResponseWriter, status int) {
	http.Error(w, strconv.Itoa(status)+" "+http.StatusText(status), status)
}

// fileName is the path of a file below the folder that a URL names; "." is the folder itself.
// ok is false if it may name none, whatever is on the disk.
func fileName(u *url.URL) (name string, ok bool) {
	if escaped := strings.ToLower(u.EscapedPath()); strings.Contains(escaped, "%2f") || strings.Contains(escaped, "%5c") {
		return "", false // a slash inside of a name is in none
	}
	name = strings.TrimSuffix(strings.TrimPrefix(u.Path, "/"), "/")
	if name == "" {
		return ".", u.Path == "/"
	}
	if !fs.ValidPath(name) || strings.ContainsAny(name, "\\\x00") {
		return "", false
	}
	for segment := range strings.SplitSeq(name, "/") {
		if hidden(segment) {
			return "", false
		}
	}
	if _, err := filepath.Localize(name); err != nil {
		return "", false // a device of Windows, a drive, a stream
	}
	return name, true
}

// hidden reports whether a name, or what a file system makes of it, is one that nobody is
// shown: its first character that counts is a dot.
func hidden(segment string) bool {
	// HFS+ finds .git under names with characters that nobody sees.
	segment = strings.TrimLeftFunc(segment, func(c rune) bool { return unicode.Is(unicode.Cf, c) })
	if strings.HasPrefix(segment, ".") {
		return true
	}
	// Windows drops dots and blanks at the end, and has short names for others.
	return runtime.GOOS == "windows" && (strings.TrimRight(segment, ". ") != segment || strings.Contains(segment, "~"))
}

// serve answers with what has a name.
func (f *Folder) serve(w http.ResponseWriter, r *http.Request, name string) error {
	info, err := f.root.Stat(name)
	if err != nil {
		return err
	}
	if info.Mode().IsRegular() && !strings.HasSuffix(r.URL.Path, "/") {
		return f.file(w, r, name)
	}
	if !info.IsDir() {
		return fs.ErrNotExist // a device, or a file as if it were a folder
	}
	if !strings.HasSuffix(r.URL.Path, "/") {
		// Relative, so that no name passes for a host or a scheme.
		to := "./" + url.PathEscape(path.Base(name)) + "/"
		if r.URL.RawQuery != "" {
			to += "?" + r.URL.RawQuery
		}
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return nil
	}
	err = f.file(w, r, path.Join(name, index))
	if errors.Is(err, fs.ErrNotExist) && f.cfg.Listing {
		return f.list(w, r, name)
	}
	return err
}

// file sends a file, if it is one. What has become a pipe meanwhile is not waited for.
func (f *Folder) file(w http.ResponseWriter, r *http.Request, name string) error {
	file, err := f.root.OpenFile(name, os.O_RDONLY|withoutWaiting, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fs.ErrNotExist
	}
	h := w.Header()
	if kind := contentType(name); kind != "" {
		h.Set("Content-Type", kind)
	}
	h.Set("ETag", `"`+strconv.FormatInt(info.ModTime().UnixNano(), 36)+"-"+strconv.FormatInt(info.Size(), 36)+`"`)
	http.ServeContent(w, r, name, info.ModTime(), struct{ io.ReadSeeker }{file})
	return nil
}

// contentType is the type of a file by its extension, empty to have its beginning tell. What
// the web is made of doesn't depend on what this machine has registered.
func contentType(name string) string {
	ext := strings.ToLower(path.Ext(name))
	switch ext {
	case ".html", ".htm":
		return "text/html; charset=utf-8"
	case ".js", ".mjs", ".cjs":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".json", ".map":
		return "application/json"
	case ".webmanifest":
		return "application/manifest+json"
	case ".wasm":
		return "application/wasm"
	case ".svg":
		return "image/svg+xml"
	case ".xml":
		return "application/xml"
	case ".txt", ".md", ".log", ".csv", ".yaml", ".yml", ".toml":
		return map[bool]string{true: "text/csv; charset=utf-8", false: "text/plain; charset=utf-8"}[ext == ".csv"]
	case ".png", ".gif", ".webp", ".avif":
		return "image/" + ext[1:]
	case ".jpg", ".jpeg":
		return "image/jpeg"
	case ".ico":
		return "image/x-icon"
	case ".woff", ".woff2", ".ttf", ".otf":
		return "font/" + ext[1:]
	case ".mp4", ".webm":
		return "video/" + ext[1:]
	case ".mp3":
		return "audio/mpeg"
	case ".pdf":
		return "application/pdf"
	case ".zip":
		return "application/zip"
	case ".gz":
		return "application/gzip"
	}
	return mime.TypeByExtension(ext)
}
