package process

// What a process with a limit on descriptors keeps for everything but the connections
// that its listeners accept: the files of the store and of the state directory, listeners,
// connections to the control plane and to etcd, health and metrics.
const (
	// A part of the limit, but no less than what a small store and the two admin
	// listeners take, and no more than a store of any size does.
	keptPart, minKept, maxKept = 8, 128, 4096
	// apiPart is the part of the rest that the API has beside an edge in one process:
	// each edge and each Warpgate calls it now and then.
	apiPart = 8
)

// Connections is how many connections the services of a process may have open, so that
// together they stay below its limit on descriptors; zero means that nothing limits them.
// Of a Warpgate these are data connections: each has one to the workload beside it.
type Connections struct{ API, Edge, Warpgate int }

// Services are those in one process.
type Services struct {
	API, Edge bool
	// Warpgate says that a Warpgate has its ends of the edge's tunnels and its
	// connections to the workload in the same process.
	Warpgate bool
}

// Divide divides what the limit allows among the services of a process.
func Divide(s Services) Connections {
	limit, ok := descriptors()
	if !ok {
		return Connections{}
	}
	return divide(int(min(limit, 1<<30)), s)
}

func divide(limit int, s Services) (c Connections) {
	rest := limit - min(max(limit/keptPart, minKept), maxKept)
	if s.API {
		c.API = rest
		if s.Edge {
			c.API = rest / apiPart
		}
		rest -= c.API
	}
	if s.Edge {
		c.Edge = rest
		if s.Warpgate {
			// Half of an edge's connections are tunnels. Each of them has its other
			// end here, and another connection beyond that.
			c.Edge = rest / 2
		}
		rest -= c.Edge
	}
	if s.Warpgate {
		c.Warpgate = rest / 2
	}
	return c
}
