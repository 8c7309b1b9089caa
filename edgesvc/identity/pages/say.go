package pages

import (
	"strconv"
	"strings"
	"time"
)

// message is a text of the catalogue. Its placeholders are {name}.
type message int

// part is a run of a text. What people or tenants wrote is data: it is set apart from the
// sentence around it, because it may be written in the other direction.
type part struct {
	Text string
	Data bool
	// Words are those of a command, which is set apart and breaks between them alone: elsewhere the
	// end of a line would look like another word.
	Words []string
	// Href makes it a link to another site, opened in a tab of its own, as NewTab says.
	Href, NewTab string
}

// text is a sentence as it is shown.
type text []part

// String is the text without its links.
func (t text) String() string {
	var b strings.Builder
	for _, p := range t {
		b.WriteString(p.Text)
	}
	return b.String()
}

// arg is what stands in the place of one placeholder.
type arg struct {
	name string
	part part
}

func data(name, value string) arg  { return arg{name, part{Text: value, Data: true}} }
func plain(name, value string) arg { return arg{name, part{Text: value}} }
func command(name string, words ...string) arg {
	return arg{name, part{Text: strings.Join(words, " "), Words: words}}
}
func number(name string, n int) arg { return arg{name, part{Text: strconv.Itoa(n)}} }

// say gives a message in the view's language.
func (v View) say(m message, args ...arg) text { return v.language().say(m, args...) }

// brand is the name of who asks, or what stands for it.
func (v View) brand() arg {
	if v.Brand.Name == "" {
		return plain("brand", v.say(msgThisSite).String())
	}
	return data("brand", v.Brand.Name)
}

// language is a catalogue, or what is derived from one.
type language string

// source is the text of a message as the catalogue has it.
func (l language) source(m message) string {
	switch l {
	case german:
		return germanTexts[m]
	default:
		return englishTexts[m]
	}
}

// say gives a message with its placeholders filled.
func (l language) say(m message, args ...arg) text {
	var out text
	rest := l.source(m)
	if l == pseudo {
		rest = disguise(rest)
	}
	for rest != "" {
		before, after, ok := strings.Cut(rest, "{")
		if before != "" {
			out = append(out, part{Text: before})
		}
		if !ok {
			break
		}
		name, after, _ := strings.Cut(after, "}")
		for _, a := range args {
			if a.name == name {
				out = append(out, a.part)
			}
		}
		rest = after
	}
	return out
}

// count gives one of two messages, by the number {n}.
func (l language) count(one, other message, n int) text {
	if n == 1 {
		return l.say(one, number("n", n))
	}
	return l.say(other, number("n", n))
}

// length says how long something takes, rounded up to what people count in.
func (l language) length(d time.Duration) string {
	n := int(seconds(d))
	up := func(unit int) int { return (n + unit - 1) / unit }
	switch {
	case n <= 60:
		return l.count(msgSecond, msgSeconds, max(n, 1)).String()
	case n <= 90*60:
		return l.count(msgMinute, msgMinutes, up(60)).String()
	case n <= 48*60*60:
		return l.count(msgHour, msgHours, up(60*60)).String()
	default:
		return l.count(msgDay, msgDays, up(24*60*60)).String()
	}
}
