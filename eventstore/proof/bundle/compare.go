package bundle

import (
	"fmt"

	"coffre/eventstore/proof"
)

// Kind is what is wrong with a log.
type Kind string

// What can be wrong.
const (
	Altered   Kind = "altered"   // an event is not what was recorded
	Dropped   Kind = "dropped"   // an event is gone
	Inserted  Kind = "inserted"  // an event was never recorded
	Swapped   Kind = "swapped"   // two events stand in each other's place
	Cut       Kind = "cut"       // the log ends before its checkpoint
	Rewritten Kind = "rewritten" // tree and events agree, and not with what was signed
	Tile      Kind = "tile"      // the events fit what was signed, and the tree beside them does not
	Signature Kind = "signature" // no key that counts signed the checkpoint
	Moved     Kind = "moved"     // a checkpoint's time contradicts what it covers
	Forked    Kind = "forked"    // two checkpoints of one log disagree
	Deleted   Kind = "deleted"   // the store was told to forget a stream
	// Certificate: a certificate of erasure says what the log does not bear out.
	Certificate Kind = "certificate"
)

// Finding is one thing that is wrong. It holds nothing personal.
type Finding struct {
	Kind   Kind   `json:"kind"`
	Leaf   int64  `json:"leaf"` // -1 where it is about no single event
	Stream string `json:"stream,omitempty"`
	Says   string `json:"says"`
}

// content is an event as it was met, reduced to what is compared.
type content struct {
	leaf     int64 // as the source numbers it
	hash     proof.Hash
	stream   string
	revision int64
	typ      string
	damaged  bool
}

func (c content) name() string {
	return fmt.Sprintf("%s of %s, revision %d", c.typ, c.stream, c.revision)
}

// ahead is how far the comparison looks for what was moved.
const ahead = 32

// comparison holds the events of a log against the leaf hashes of its tree, both in order,
// in constant memory.
type comparison struct {
	tree    []proof.Hash // from leaf next on
	met     []content
	next    int64
	matched int64
	pushed  int // events that were inserted, and push as many behind the last one that is read
	report  func(Finding)
}

func (c *comparison) leaves(hashes ...proof.Hash) { c.tree = append(c.tree, hashes...) }

func (c *comparison) event(e content) {
	c.met = append(c.met, e)
	c.step(ahead)
}

// finish compares what is left: nothing follows.
func (c *comparison) finish() {
	c.step(0)
	for _, e := range c.met {
		c.report(Finding{Inserted, -1, e.stream, fmt.Sprintf("behind leaf %d stands %s, which was never recorded there", c.next-1, e.name())})
	}
	switch n := int64(len(c.tree)); {
	case n <= int64(c.pushed):
	case n == 1:
		c.report(Finding{Dropped, c.next, "", fmt.Sprintf("leaf %d is gone", c.next)})
	case n > 1:
		c.report(Finding{Cut, c.next, "", fmt.Sprintf("leaves %d to %d are gone", c.next, c.next+n-1)})
	}
	c.met, c.tree = nil, nil
}

// step compares as long as there are more than that many on both sides.
func (c *comparison) step(more int) {
	for len(c.tree) > more && len(c.met) > more {
		if c.met[0].hash == c.tree[0] && !c.met[0].damaged {
			c.take(1, 1)
			c.matched++
			continue
		}
		c.differ()
	}
	// What was taken is not kept.
	if cap(c.met) > 1024 {
		c.met = append([]content(nil), c.met...)
	}
}

func (c *comparison) take(leaves, events int) {
	c.tree, c.met = c.tree[leaves:], c.met[events:]
	c.next += int64(leaves)
}

// differ tells what the first event and the first leaf, which differ, come from.
func (c *comparison) differ() {
	e := c.met[0]
	if len(c.met) > 1 && len(c.tree) > 1 && e.hash == c.tree[1] && c.met[1].hash == c.tree[0] {
		c.report(Finding{Swapped, c.next, e.stream, fmt.Sprintf("leaves %d and %d stand in each other's place: %s, and %s", c.next, c.next+1, c.met[1].name(), e.name())})
		c.take(2, 2)
		return
	}
	for d := 1; d <= ahead; d++ {
		if d < len(c.tree) && !e.damaged && e.hash == c.tree[d] {
			for i := range d {
				c.report(Finding{Dropped, c.next + int64(i), "", fmt.Sprintf("leaf %d is gone; it stood before %s", c.next+int64(i), e.name())})
			}
			c.take(d, 0)
			return
		}
		if d < len(c.met) && !c.met[d].damaged && c.met[d].hash == c.tree[0] {
			for _, one := range c.met[:d] {
				c.report(Finding{Inserted, c.next, one.stream, fmt.Sprintf("before leaf %d stands %s, which was never recorded there", c.next, one.name())})
			}
			c.pushed += d
			c.take(0, d)
			return
		}
	}
	says := fmt.Sprintf("leaf %d, %s, is not what was recorded", c.next, e.name())
	if e.damaged {
		says = fmt.Sprintf("leaf %d is not in the store as it was recorded: damaged, or gone", c.next)
	}
	c.report(Finding{Altered, c.next, e.stream, says})
	c.take(1, 1)
}
