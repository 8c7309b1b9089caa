package export

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect/decode"
	"github.com/mezusphere/mezu/daemon/inspect/show"
	"github.com/mezusphere/mezu/local"
)

// Bounds of a comparison.
const (
	// maxDiffering is how many differences are told: more than anybody reads.
	maxDiffering = 1000
	// maxDiffValue bounds each value of one.
	maxDiffValue = 4 << 10
	// maxDiffTexts bounds all of them together. JSON may write a byte as six, and an answer has
	// room for that.
	maxDiffTexts = 1 << 20
	// maxDiffJSON bounds bodies that are compared by their members, which take many times as
	// much memory. Longer ones are compared by lines.
	maxDiffJSON = 256 << 10
	// maxDiffLines bounds the table of lines that are compared with one another, beside equal
	// ones at both ends. Beyond it they are compared one by one.
	maxDiffLines = 1 << 20
)

// Diff says what differs between two exchanges, in the order of a: first line, fields and body of
// both messages, and times. realA and realB are the same two with nothing masked, so that two
// secrets that differ are told to, whatever is shown of them.
func Diff(a, b *show.Complete, realA, realB *mezu.ExchangeDetail) local.Difference {
	d := &difference{Difference: local.Difference{A: a.Exchange, B: b.Exchange, Items: []local.Differing{}}}
	d.part = local.SideRequest
	d.message(pair{&a.Request, &realA.Request}, pair{&b.Request, &realB.Request})
	d.body(undone(&a.RequestBody, &a.Request, a.Undone), undone(&b.RequestBody, &b.Request, b.Undone))
	d.part = local.SideResponse
	d.message(answerOf(&a.ExchangeDetail, realA), answerOf(&b.ExchangeDetail, realB))
	d.body(a.ResponseBody.Data, b.ResponseBody.Data)
	d.part = "timing"
	for _, t := range []struct {
		name string
		a, b float64
	}{
		{"queued", a.Timing.QueuedMS, b.Timing.QueuedMS}, {"connect", a.Timing.ConnectMS, b.Timing.ConnectMS},
		{"first byte", a.Timing.FirstByteMS, b.Timing.FirstByteMS}, {"end", a.Timing.EndMS, b.Timing.EndMS},
	} {
		d.value(t.name, milliseconds(t.a), milliseconds(t.b))
	}
	return d.Difference
}

func milliseconds(ms float64) string {
	if ms == 0 {
		return ""
	}
	return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
}

// undone is a request's body without its content encoding.
func undone(b *local.Content, head *mezu.ExchangeMessage, already bool) []byte {
	if already || head.Body == nil {
		return b.Data
	}
	out, _ := decode.Body(head.Body.Encoding, b.Data)
	return out
}

type difference struct {
	local.Difference
	part  string
	texts int // bytes
}

// isFull reports whether enough is told.
func (d *difference) isFull() bool { return len(d.Items) >= maxDiffering || d.texts >= maxDiffTexts }

// value adds two values, unless they are the same.
func (d *difference) value(name, before, after string) {
	if before != after && !d.isFull() {
		one := local.Differing{Part: d.part, Name: shortened(name), Before: shortened(before), After: shortened(after)}
		d.texts += len(one.Name) + len(one.Before) + len(one.After)
		d.Items = append(d.Items, one)
	}
}

func shortened(text string) string {
	if len(text) > maxDiffValue {
		text = text[:maxDiffValue] + "…"
	}
	return strings.ToValidUTF8(text, "\ufffd")
}

// pair is a message as it is shown, and as it came.
type pair struct{ shown, real *mezu.ExchangeMessage }

// answerOf is the workload's answer, or that of the Warpgate in its place.
func answerOf(shown, real *mezu.ExchangeDetail) pair {
	none := &mezu.ExchangeMessage{}
	return pair{cmp.Or(shown.Response, shown.Returned, none), cmp.Or(real.Response, real.Returned, none)}
}

func (d *difference) message(a, b pair) {
	d.secret("line", a.shown.Line, b.shown.Line, a.real.Line == b.real.Line)
	d.fields("", pairs{a.shown.Fields, a.real.Fields}, pairs{b.shown.Fields, b.real.Fields})
	d.fields("trailer ", pairs{a.shown.Trailers, a.real.Trailers}, pairs{b.shown.Trailers, b.real.Trailers})
}

// secret adds two values that may be masked, unless they are the same.
func (d *difference) secret(name, before, after string, same bool) {
	if same || d.isFull() {
		return
	}
	if before == after {
		after += " (another)"
	}
	d.value(name, before, after)
}

// pairs are fields as they are shown, and as they came.
type pairs struct{ shown, real []mezu.ExchangeField }

// values are those of one name, in both exchanges.
type values struct {
	name        string
	shown, real [2][]string
}

// fields compares fields by name. Those of one name are one value. The id of a request is
// another one each time.
func (d *difference) fields(prefix string, a, b pairs) {
	var order []*values
	for side, list := range []pairs{a, b} {
		for i, f := range list.shown {
			if strings.EqualFold(f.Name, mezu.HeaderRequestID) || i >= len(list.real) {
				continue
			}
			at := slices.IndexFunc(order, func(v *values) bool { return strings.EqualFold(v.name, f.Name) })
			if at < 0 {
				at = len(order)
				order = append(order, &values{name: f.Name})
			}
			order[at].shown[side] = append(order[at].shown[side], f.Value)
			order[at].real[side] = append(order[at].real[side], list.real[i].Value)
		}
	}
	for _, v := range order {
		d.secret(prefix+v.name, strings.Join(v.shown[0], ", "), strings.Join(v.shown[1], ", "), slices.Equal(v.real[0], v.real[1]))
	}
}

// body compares bodies.
func (d *difference) body(a, b []byte) {
	if bytes.Equal(a, b) {
		return
	}
	if x, ok := parse(a); ok {
		if y, ok := parse(b); ok {
			d.json("", x, y)
			return
		}
	}
	if !isText(a) || !isText(b) {
		d.value("body", size(a), size(b))
		if len(a) == len(b) {
			d.value("body", size(a), size(b)+", others")
		}
		return
	}
	d.lines(lines(a), lines(b))
}

func size(body []byte) string {
	if len(body) == 0 {
		return ""
	}
	return fmt.Sprintf("%d bytes", len(body))
}

func isText(body []byte) bool { return utf8.Valid(body) && bytes.IndexByte(body, 0) < 0 }

// parse reads JSON, with numbers as they are written.
func parse(body []byte) (value any, ok bool) {
	if len(body) == 0 || len(body) > maxDiffJSON {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if d.Decode(&value) != nil {
		return nil, false
	}
	switch value.(type) {
	case map[string]any, []any:
		return value, !d.More()
	}
	return nil, false
}

// json compares values that stand at the same pointer.
func (d *difference) json(pointer string, a, b any) {
	switch x := a.(type) {
	case map[string]any:
		if y, ok := b.(map[string]any); ok {
			d.members(pointer, x, y)
			return
		}
	case []any:
		if y, ok := b.([]any); ok {
			d.elements(pointer, x, y)
			return
		}
	}
	d.value(pointer, written(a), written(b))
}

func (d *difference) members(pointer string, a, b map[string]any) {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		if d.isFull() {
			return
		}
		at := pointer + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
		x, inA := a[key]
		y, inB := b[key]
		d.both(at, x, inA, y, inB)
	}
}

func (d *difference) elements(pointer string, a, b []any) {
	for i := range max(len(a), len(b)) {
		if d.isFull() {
			return
		}
		var x, y any
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		d.both(pointer+"/"+strconv.Itoa(i), x, i < len(a), y, i < len(b))
	}
}

// both compares two values, either of which may not be there.
func (d *difference) both(pointer string, a any, inA bool, b any, inB bool) {
	switch {
	case inA && inB:
		d.json(pointer, a, b)
	case inA:
		d.value(pointer, written(a), "")
	default:
		d.value(pointer, "", written(b))
	}
}

// written is a value as JSON writes it.
func written(value any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(value) != nil {
		return ""
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func lines(body []byte) []string {
	if len(body) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")
}

// lines compares texts by their longest common lines. A line is numbered as in a, one that is
// only in b as there.
func (d *difference) lines(a, b []string) {
	first := 0
	for first < len(a) && first < len(b) && a[first] == b[first] {
		first++
	}
	endA, endB := len(a), len(b)
	for endA > first && endB > first && a[endA-1] == b[endB-1] {
		endA--
		endB--
	}
	a, b = a[first:endA], b[first:endB]
	at := func(i int) string { return "body:" + strconv.Itoa(first+i+1) }
	if len(a)*len(b) > maxDiffLines {
		for i := range max(len(a), len(b)) {
			var x, y string
			if i < len(a) {
				x = a[i]
			}
			if i < len(b) {
				y = b[i]
			}
			d.value(at(i), x, y)
		}
		return
	}
	common := commonLines(a, b)
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			i++
			j++
		case i < len(a) && j < len(b) && common(i+1, j+1) == common(i, j):
			d.value(at(i), a[i], b[j]) // it was changed
			i++
			j++
		case j == len(b) || i < len(a) && common(i+1, j) >= common(i, j+1):
			d.value(at(i), a[i], "")
			i++
		default:
			d.value(at(j), "", b[j])
			j++
		}
	}
}

// commonLines gives how many lines of a from i and of b from j are common to both, in their
// order.
func commonLines(a, b []string) func(i, j int) int32 {
	width := len(b) + 1
	table := make([]int32, (len(a)+1)*width)
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				table[i*width+j] = table[(i+1)*width+j+1] + 1
			} else {
				table[i*width+j] = max(table[(i+1)*width+j], table[i*width+j+1])
			}
		}
	}
	return func(i, j int) int32 { return table[i*width+j] }
}
