package main

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// fields are what a template of goreleaser.yaml may name, by goreleaser's names.
type fields map[string]any

// with adds fields, and leaves the receiver as it is.
func (f fields) with(more fields) fields {
	out := maps.Clone(f)
	maps.Copy(out, more)
	return out
}

// apply fills a template in. A name that is not known is an error.
func (f fields) apply(text string) (string, error) {
	t, err := template.New("").Option("missingkey=error").Funcs(template.FuncMap{"incpatch": incpatch}).Parse(text)
	if err != nil {
		return "", fmt.Errorf("template %q: %w", text, err)
	}
	var b strings.Builder
	if err := t.Execute(&b, map[string]any(f)); err != nil {
		return "", fmt.Errorf("template %q: %w", text, err)
	}
	return b.String(), nil
}

// all fills several templates in.
func (f fields) all(texts []string) ([]string, error) {
	out := make([]string, len(texts))
	for i, text := range texts {
		var err error
		if out[i], err = f.apply(text); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// time fills a template in that gives a time.
func (f fields) time(text string) (time.Time, error) {
	s, err := f.apply(text)
	if err != nil {
		return time.Time{}, err
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("template %q: %w", text, err)
	}
	return at.UTC(), nil
}

// incpatch is the next version in which only bugs are fixed.
func incpatch(version string) (string, error) {
	prefix, last, ok := cutLast(version, ".")
	n, err := strconv.Atoi(last)
	if !ok || err != nil || n < 0 {
		return "", fmt.Errorf("%q is not MAJOR.MINOR.PATCH", version)
	}
	return prefix + "." + strconv.Itoa(n+1), nil
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
