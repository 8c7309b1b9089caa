package pages

import (
	"strings"
	"unicode"
)

// sign is a product that a User-Agent field gives away by some text in it.
type sign struct{ in, name string }

// Browsers name those that they descend from, so that the youngest is looked for first.
var (
	browsers = []sign{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"},
		{"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
	}
	systems = []sign{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"CrOS", "ChromeOS"}, {"Macintosh", "macOS"}, {"Linux", "Linux"},
	}
)

// agentLength bounds what is read of a User-Agent field, and productLength what is shown of one
// that nobody knows.
const (
	agentLength   = 512
	productLength = 32
)

// device says by which browser and on what somebody came: what a User-Agent field claims.
func (v View) device(agent string) string {
	agent = agent[:min(len(agent), agentLength)]
	find := func(signs []sign) string {
		for _, s := range signs {
			if strings.Contains(agent, s.in) {
				return s.name
			}
		}
		return ""
	}
	browser, system := find(browsers), find(systems)
	switch {
	case browser != "" && system != "":
		return browser + " · " + system
	case browser != "" || system != "":
		return browser + system
	}
	product, _, _ := strings.Cut(agent, "/")
	odd := func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' && r != '_' }
	if product == "" || product == "Mozilla" || len(product) > productLength || strings.ContainsFunc(product, odd) {
		return v.say(msgUnknownDevice).String()
	}
	return product
}
