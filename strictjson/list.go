package strictjson

import "reflect"

// Lists.
const (
	// fewElements is the length up to which a list grows by itself. A longer one is moved
	// to a slab.
	fewElements = 16
	// slabLists is how many lists of the greatest length fit into a slab. Two, because the
	// routes of a manifest are at most those of two environments.
	slabLists = 2
	// chargeStep is the most elements that are charged at a time.
	chargeStep = 512
)

func (d *decoder) list(v reflect.Value, most int) error {
	of := v.Type()
	v.SetZero()
	d.path = append(d.path, part{})
	last := len(d.path) - 1
	begin, charged, inSlab := d.source.Offset(), 0, false
	for n := 0; ; n++ {
		t, err := d.next()
		if err != nil {
			return err
		}
		if t.Kind == ListEnd {
			d.path = d.path[:last]
			switch {
			case n == 0:
				v.Set(reflect.MakeSlice(of, 0, 0))
			case inSlab:
				d.slabs[of] = v.Slice(n, n)
				v.Set(v.Slice3(0, n, n))
			}
			return nil
		}
		if n == most {
			d.path = d.path[:last]
			return d.invalid("has more than %d entries", most)
		}
		d.path[last] = part{index: n}
		if n == charged {
			step := min(max(1, n), chargeStep)
			charge := d.charge
			if n >= fewElements {
				charge = d.weigh // the memory of the slab is counted already
			}
			if err := charge(step * int(of.Elem().Size())); err != nil {
				return err
			}
			charged += step
		}
		if n == v.Cap() {
			d.steps += n
			if inSlab = n >= fewElements; !inSlab {
				v.Grow(max(1, n))
			} else if err := d.move(v, most, begin); err != nil {
				return err
			}
		}
		v.SetLen(n + 1)
		if err := d.value(t, v.Index(n), MaxItems); err != nil {
			return err
		}
	}
}

// move moves a list to a slab. That is what the last list of this type left free of its
// slab, or a new slab. A new one has room for as many elements as the rest of the text can
// have if they are as long as those so far. So a long list is copied only this time, and
// little room is wasted.
func (d *decoder) move(v reflect.Value, most, begin int) error {
	of, n := v.Type(), v.Len()
	slab, left := d.slabs[of]
	delete(d.slabs, of) // the list has it until it ends
	if !left || slab.Cap() <= n {
		at := d.source.Offset()
		room := min(max(2*n, n+n*max(0, d.o.Length-at)/max(1, at-begin)), slabLists*most)
		if err := d.count(room * int(of.Elem().Size())); err != nil {
			return err
		}
		slab = reflect.MakeSlice(of, 0, room)
		if d.slabs == nil {
			d.slabs = map[reflect.Type]reflect.Value{}
		}
	}
	slab = slab.Slice(0, n)
	reflect.Copy(slab, v)
	v.Set(slab)
	return nil
}
