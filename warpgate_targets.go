package mezu

// WarpgateTargets is what a Warpgate says of where it sends requests.
type WarpgateTargets struct {
	// Upstream is where requests go whose route names none. If it is empty, there is none, and the
	// Warpgate refuses them.
	Upstream string `json:"upstream,omitempty"`
	// Allow are the further upstreams that routes may name, at most 32.
	Allow []string `json:"allow,omitempty"`
	// More says that there are others, or may be: what is decided by a file that changes, and what
	// didn't fit.
	More bool `json:"more,omitempty"`
}

const (
	// MaxWarpgateTargets is how many further upstreams a Warpgate tells: people start one with a
	// few, and each is shown with it.
	MaxWarpgateTargets = 32
	// MaxWarpgateTargetBytes bounds all that it tells of them. The store keeps that for each
	// Warpgate.
	MaxWarpgateTargetBytes = 2 << 10
)

// SayTargets is what a Warpgate may say: as many as fit.
func SayTargets(upstream Upstream, allow []Upstream, more bool) WarpgateTargets {
	t := WarpgateTargets{More: more}
	left := MaxWarpgateTargetBytes
	fits := func(u Upstream) bool {
		n := len(u.String())
		if n > left {
			t.More = true
			return false
		}
		left -= n
		return true
	}
	if upstream.Address != "" && fits(upstream) {
		t.Upstream = upstream.String()
	}
	for _, u := range allow {
		if len(t.Allow) == MaxWarpgateTargets {
			t.More = true
			break
		}
		if fits(u) {
			t.Allow = append(t.Allow, u.String())
		}
	}
	return t
}

// Upstreams reads them. An error names the one that is none, or what is too much.
func (t WarpgateTargets) Upstreams() (upstream Upstream, allow []Upstream, err error) {
	if len(t.Allow) > MaxWarpgateTargets {
		return upstream, nil, Invalid("allow", "has %d upstreams, %d at most", len(t.Allow), MaxWarpgateTargets)
	}
	n := len(t.Upstream)
	for _, text := range t.Allow {
		n += len(text)
	}
	if n > MaxWarpgateTargetBytes {
		return upstream, nil, Invalid("allow", "has %d bytes with the upstream, %d at most", n, MaxWarpgateTargetBytes)
	}
	if t.Upstream != "" {
		if upstream, err = ParseUpstream(t.Upstream); err != nil {
			return upstream, nil, Below("upstream", err)
		}
	}
	for _, text := range t.Allow {
		u, err := ParseUpstream(text)
		if err != nil {
			return upstream, nil, Below("allow", err)
		}
		allow = append(allow, u)
	}
	return upstream, allow, nil
}

// MaxItems bounds Allow where a body is read.
func (WarpgateTargets) MaxItems(string) int { return MaxWarpgateTargets }
