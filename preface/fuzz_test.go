package preface_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/preface"
)

// FuzzTyped: whatever is accepted is what would have been written.
func FuzzTyped(f *testing.F) {
	info := preface.Request{ID: "id", Position: mezu.Position{Epoch: 1, Revision: 2}, Grant: []byte("grant")}
	f.Add(preface.AppendRequest(nil, &info))
	f.Add(preface.AppendFailure(nil, &preface.Failure{Code: mezu.CodeWorkloadReset, Detail: "detail", Unsent: true}))
	f.Add(preface.AppendProbe(preface.AppendAlive(preface.AppendResponse(nil))))
	f.Add([]byte("\x01\xff\xff\xff" + strings.Repeat("x", 100)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := source(bytes.NewReader(raw))
		for {
			kind, p, err := preface.Read(r)
			if err != nil {
				return
			}
			var got preface.Request
			if kind == preface.KindRequest && preface.ParseRequest(p, &got) == nil {
				again := preface.AppendRequest(nil, &got)[4:]
				var twice preface.Request
				if err := preface.ParseRequest(again, &twice); err != nil || twice.ID != got.ID || twice.Client != got.Client || twice.Position != got.Position || !bytes.Equal(twice.Grant, got.Grant) {
					t.Fatalf("%+v became %+v, %v", got, twice, err)
				}
			}
			if kind == preface.KindFailure {
				if failure, err := preface.ParseFailure(p); err == nil {
					if !failure.Code.Known() || len(failure.Detail) > 512 || !mezu.ValidHeaderValue(failure.Detail) {
						t.Fatalf("%+v", failure)
					}
				}
			}
		}
	})
}
