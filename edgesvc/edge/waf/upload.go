package waf

import (
	"github.com/mezusphere/mezu/relay"
)

// Upload is a multipart body that is judged as it comes. Fields and the heads of files are held
// until they are judged; what is in files passes. So a workload gets no field that was not judged,
// but it may have got a file when a field behind it turns out to be an attack: then the request is
// cut short.
type Upload struct {
	f      *Firewall
	who    Who
	s      *Settings
	r      *relay.Request
	scan   *scanner
	held   []byte
	passed int64 // bytes that were taken from held
	rounds int
	total  Verdict
}

// Upload begins a body whose head has not been judged.
func (f *Firewall) Upload(w Who, s *Settings, r *relay.Request) *Upload {
	values, bytes := headValues(r)
	p := &parsed{look: look{s: s, values: values, head: bytes, exceeded: headExceeds(r)}, kind: Parts}
	u := &Upload{f: f, who: w, s: s, r: r, scan: newScanner(p, r)}
	if u.scan == nil {
		u.scan = &scanner{p: p, why: badParts}
	}
	if name, ok := coding(r); p.exceeded == "" && (name != "" || !ok) {
		u.scan.why = badCoding
	}
	return u
}

// Write takes the next bytes, and reports whether Judge is to be called before more of the body is
// passed on.
func (u *Upload) Write(b []byte) (due bool) {
	u.held = append(u.held, b...)
	u.scan.write(b)
	return u.scan.ready || u.broken()
}

// End says that the body has ended. Judge is to be called.
func (u *Upload) End() { u.scan.end() }

func (u *Upload) broken() bool { return u.scan.why != "" || u.scan.p.exceeded != "" }

// Held is how many bytes are kept until they are judged, those of their copies included.
func (u *Upload) Held() int { return 2*len(u.held) + u.scan.p.bytes + u.scan.p.names }

// Judge judges what came since the last time. The verdict is on all that came: the scores add up.
func (u *Upload) Judge() (Verdict, error) {
	p := u.scan.p
	if v, known := p.known(u.scan.why); known {
		u.total.Result, u.total.Partial = v.Result, v.Partial
		return u.total, nil
	}
	u.scan.ready = false
	values, bytes, head := len(p.fields), 0, func(l *look) { l.showAgain(u.r, u.who.Client) }
	if u.rounds == 0 {
		values, bytes = headValues(u.r)
		bytes += longHead(u.r)
		head = func(l *look) { l.showHead(u.r, u.who.Client) }
	}
	for _, f := range p.fields {
		bytes += len(f[0]) + len(f[1])
	}
	v, err := u.f.inTurn(u.who, u.s, values+len(p.fields), bytes, head, p.show)
	if err != nil {
		return v, err
	}
	u.rounds++
	p.fields, p.files, p.heads = nil, nil, nil
	v.Score += u.total.Score
	v.Rules = append(u.total.Rules, v.Rules...)
	v.Rules = v.Rules[:min(len(v.Rules), maxRules)]
	v.Took += u.total.Took
	if v.Score >= u.s.Threshold {
		v.Result = Attack
	}
	u.total = v
	return v, nil
}

// Pass takes what may be passed on: what was judged, and what is in a file behind it. After the end
// was judged, or for whoever only detects and has stopped looking, that is all.
func (u *Upload) Pass(all bool) []byte {
	n := u.scan.safe - u.passed
	if all {
		n = int64(len(u.held))
	}
	if n <= 0 {
		return nil
	}
	out := u.held[:n:n]
	u.held = append([]byte(nil), u.held[n:]...)
	u.passed += n
	return out
}
