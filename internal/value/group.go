package value

import "fmt"

// group collects named values into an Object: those that share a name become
// one Array, where the first stood.
type group struct {
	kids  []Value
	index map[string]int // name to its place in kids, once there are more than linearNames
	lists []bool         // by place in kids: an Array made here
}

func (g *group) find(name string) int {
	if g.index != nil {
		if at, ok := g.index[name]; ok {
			return at
		}
		return -1
	}
	for i := range g.kids {
		if g.kids[i].Name == name {
			return i
		}
	}
	return -1
}

// add takes the next value and returns its place. offset is where an error points.
func (g *group) add(v Value, offset int, lim *Limits) (int, *Error) {
	at := g.find(v.Name)
	if at < 0 {
		if len(g.kids) >= lim.Keys {
			return 0, &Error{Fault: FaultKeys, Offset: offset, Detail: fmt.Sprintf("more than %d fields", lim.Keys)}
		}
		at = len(g.kids)
		g.kids = append(g.kids, v)
		g.lists = append(g.lists, false)
		switch {
		case g.index != nil:
			g.index[v.Name] = at
		case len(g.kids) > linearNames:
			g.index = make(map[string]int, 2*len(g.kids))
			for i := range g.kids {
				g.index[g.kids[i].Name] = i
			}
		}
		return at, nil
	}
	g.list(at)
	have := &g.kids[at]
	if len(have.Kids) >= lim.Items {
		return at, &Error{
			Fault: FaultItems, Offset: offset, Pointer: string(appendToken(nil, v.Name)),
			Detail: fmt.Sprintf("a field more than %d times", lim.Items),
		}
	}
	have.End = v.End
	v.Name = ""
	have.Kids = append(have.Kids, v)
	return at, nil
}

// list makes the value at a place an Array of itself, unless it is one made here.
func (g *group) list(at int) {
	if g.lists[at] {
		return
	}
	g.lists[at] = true
	first := g.kids[at]
	g.kids[at] = Value{Name: first.Name, Kind: Array, Start: first.Start, End: first.End}
	first.Name = ""
	g.kids[at].Kids = []Value{first}
}
