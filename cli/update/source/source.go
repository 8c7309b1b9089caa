// Package source is where a release comes from: a folder, or an https address. It believes nothing
// that is not below a signature, and reads no more than a release can have.
//
// What may not live here: what becomes of a release; which version is wanted. It imports sshsig;
// update imports it.
package source

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/update/sshsig"
	"github.com/mezusphere/mezu/namedfile"
)

// namespace is what the key of releases signs for: a signature for another purpose is none.
const namespace = "mezu-release"

// Names of the files of a release beside its archives.
const (
	sumsName      = "SHA256SUMS"
	signatureName = "SHA256SUMS.sig"
	versionName   = "VERSION"
)

const (
	// maxSums bounds the list of digests: a release has some fifty files.
	maxSums = 256 << 10
	// maxVersion bounds the file with the version.
	maxVersion = 128
	// MaxArchive bounds an archive, some six times as large as one is.
	MaxArchive = 256 << 20
	// maxRedirects is how often a download may lead elsewhere.
	maxRedirects = 5
)

const (
	// smallTime is what a small file may take, archiveTime an archive: 256 MiB at 3.5 Mbit/s.
	smallTime   = 30 * time.Second
	archiveTime = 10 * time.Minute
)

// Source is a place that has a release.
type Source struct {
	at     string
	folder bool
	client *http.Client
}

// New names a place: an https address, or the absolute path of a folder. roots are trusted beside
// the system's; if nil, those alone.
func New(at string, roots *x509.CertPool, agent string) (*Source, error) {
	if !strings.Contains(at, "://") {
		if !filepath.IsAbs(at) {
			return nil, mezu.Invalid("source", "%q is neither an https:// address nor the path of a folder", at)
		}
		return &Source{at: at, folder: true}, nil
	}
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, mezu.Invalid("source", "%q is not an https:// address", shown(at))
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, DisableCompression: true,
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: smallTime, ResponseHeaderTimeout: smallTime, MaxResponseHeaderBytes: 64 << 10,
	}
	return &Source{at: strings.TrimRight(at, "/"), client: &http.Client{
		Transport: named{transport, agent},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if req.URL.Scheme != "https" {
				return errors.New("it leads away from https")
			}
			if len(via) > maxRedirects {
				return errors.New("it leads from one address to the next")
			}
			return nil
		},
	}}, nil
}

// named says which program asks.
type named struct {
	*http.Transport
	agent string
}

// RoundTrip asks.
func (n named) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("User-Agent", n.agent)
	return n.Transport.RoundTrip(req)
}

// Close ends connections that are kept.
func (s *Source) Close() {
	if s.client != nil {
		s.client.CloseIdleConnections()
	}
}

// String is the place without a password.
func (s *Source) String() string { return shown(s.at) }

func shown(at string) string {
	if u, err := url.Parse(at); err == nil {
		return u.Redacted()
	}
	return at
}

// Release is what a place has, by its signature.
type Release struct {
	// Version is that of the release, which the signature covers.
	Version string
	source  *Source
	sums    map[string]string
}

// Release reads which release there is, and checks that one of the signers has signed it.
func (s *Source) Release(ctx context.Context, by sshsig.Signers) (*Release, error) {
	sums, err := s.small(ctx, sumsName, maxSums)
	if err != nil {
		return nil, err
	}
	signature, err := s.small(ctx, signatureName, sshsig.MaxSignature)
	if mezu.CodeOf(err) == mezu.CodeNotFound {
		return nil, refused(err, "the release at %s is not signed", s)
	}
	if err != nil {
		return nil, err
	}
	if err := by.Verify(sums, signature, namespace); err != nil {
		return nil, refused(err, "the release at %s is not to be trusted: %v", s, err)
	}
	r := &Release{source: s}
	if r.sums, err = parseSums(string(sums)); err != nil {
		return nil, refused(err, "the release at %s: %v", s, err)
	}
	version, err := s.small(ctx, versionName, maxVersion)
	if err != nil {
		return nil, err
	}
	if err := r.check(versionName, sha256.Sum256(version)); err != nil {
		return nil, err
	}
	r.Version = strings.TrimSuffix(string(version), "\n")
	if strings.ContainsFunc(r.Version, func(c rune) bool { return c <= ' ' || c > '~' }) || r.Version == "" {
		return nil, refused(nil, "the release at %s has no version", s)
	}
	return r, nil
}

// Download writes a file of the release to f, and checks that it is the one that was signed.
func (r *Release) Download(ctx context.Context, name string, f io.Writer) error {
	if r.sums[name] == "" {
		return &mezu.Error{Code: mezu.CodeNotFound, Detail: fmt.Sprintf("the release at %s has no %s", r.source, name)}
	}
	ctx, cancel := context.WithTimeout(ctx, archiveTime)
	defer cancel()
	h := sha256.New()
	if err := r.source.get(ctx, name, MaxArchive, io.MultiWriter(f, h)); err != nil {
		return err
	}
	return r.check(name, [sha256.Size]byte(h.Sum(nil)))
}

// check holds the digest of a file against the signed list.
func (r *Release) check(name string, sum [sha256.Size]byte) error {
	if want := r.sums[name]; want != hex.EncodeToString(sum[:]) {
		return refused(nil, "%s at %s is not what was signed", name, r.source)
	}
	return nil
}

// parseSums reads lines as sha256sum writes them. Each name is there once, because the other
// line could be the one that somebody else believes.
func parseSums(text string) (map[string]string, error) {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		name = strings.TrimLeft(name, " *")
		if raw, err := hex.DecodeString(sum); err != nil || !ok || len(raw) != sha256.Size || sum != strings.ToLower(sum) || name == "" || out[name] != "" {
			return nil, fmt.Errorf("%s has a wrong line: %.80q", sumsName, line)
		}
		out[name] = sum
	}
	return out, nil
}

// small reads a file of at most that many bytes.
func (s *Source) small(ctx context.Context, name string, most int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, smallTime)
	defer cancel()
	var b bytes.Buffer
	err := s.get(ctx, name, most, &b)
	return b.Bytes(), err
}

// get copies a file of at most that many bytes.
func (s *Source) get(ctx context.Context, name string, most int64, to io.Writer) error {
	in, err := s.open(ctx, name)
	if err != nil {
		return err
	}
	defer in.Close()
	n, err := io.Copy(to, io.LimitReader(in, most+1))
	if ctx.Err() != nil {
		return s.failed(name, ctx.Err())
	}
	if _, file := errors.AsType[*fs.PathError](err); file {
		return fmt.Errorf("getting %s from %s: %w", name, s, err) // the disk, most likely
	}
	if err != nil {
		return s.failed(name, err)
	}
	if n > most {
		return refused(nil, "%s at %s is over %d bytes", name, s, most)
	}
	return nil
}

func (s *Source) open(ctx context.Context, name string) (io.ReadCloser, error) {
	if s.folder {
		f, err := namedfile.Open(filepath.Join(s.at, name))
		if errors.Is(err, os.ErrNotExist) {
			return nil, s.missing(name, err)
		}
		return f, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.at+"/"+name, nil)
	if err != nil {
		return nil, s.failed(name, err)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, s.failed(name, cmp.Or(ctx.Err(), err))
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return resp.Body, nil
	case http.StatusNotFound, http.StatusGone:
		err = s.missing(name, nil)
	default:
		err = s.failed(name, fmt.Errorf("the answer is %s", resp.Status))
	}
	resp.Body.Close()
	return nil, err
}

func (s *Source) missing(name string, cause error) error {
	return &mezu.Error{Code: mezu.CodeNotFound, Detail: fmt.Sprintf("there is no %s at %s", name, s), Hint: "name another place with MEZU_DOWNLOAD", Cause: cause}
}

func (s *Source) failed(name string, cause error) error {
	if e, ok := errors.AsType[*url.Error](cause); ok {
		cause = e.Err // the address is in the detail, without its password
	}
	if errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) {
		return fmt.Errorf("getting %s from %s: %w", name, s, cause)
	}
	return &mezu.Error{Code: mezu.CodeUnavailable, Detail: fmt.Sprintf("getting %s from %s: %v", name, s, cause), Hint: "curl -v " + s.String() + "/" + name, Cause: cause}
}

// refused is the error for a release that is not to be installed.
func refused(cause error, format string, args ...any) error {
	return &mezu.Error{Code: mezu.CodeInternal, Detail: fmt.Sprintf(format, args...), Hint: "install nothing from there; if it stays so, report it as SECURITY.md says", Cause: cause}
}
