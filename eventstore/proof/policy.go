package proof

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Policy says whose checkpoints count (C2SP tlog-policy): which logs, which witnesses, and how
// many of the witnesses are needed. It is read-only once parsed.
type Policy struct {
	Logs      []PolicyLog
	Witnesses []PolicyWitness
	groups    map[string]policyGroup
	quorum    string
}

// PolicyLog is a log whose checkpoints count.
type PolicyLog struct {
	Key NamedKey // its name is the log's origin
	URL string   // "": not said
}

// PolicyWitness is a witness under the name that the policy calls it by.
type PolicyWitness struct {
	Name string
	Key  NamedKey
	URL  string // its submission prefix; "": not said
}

type policyGroup struct {
	needed  int
	members []string
}

// Bounds of a policy.
const (
	MaxPolicy      = 256 << 10 // bytes
	maxPolicyLines = 32        // logs, witnesses and groups, each
	noQuorum       = "none"
)

var (
	errPolicyBytes  = errors.New("a character that no policy holds")
	errPolicyWords  = errors.New("it is none of `log VKEY [URL]`, `witness NAME VKEY [URL]`, `group NAME all|any|NUMBER NAME...`, `quorum NAME`")
	errPolicyLogKey = errors.New("the key is no verifier key of a log (Ed25519, 0x01)")
	errPolicyKey    = errors.New("the key is no verifier key of a witness (Ed25519 cosignatures, 0x04)")
	errPolicyTwice  = errors.New("that key stands in the policy already")
	errPolicyName   = errors.New("that name stands in the policy already, or is none")
	errPolicyMember = errors.New("a member is defined on an earlier line, and is a member of one group once")
	errPolicyNumber = errors.New("the number is from 1 to that of the members")
	errPolicyLong   = fmt.Errorf("it has more than %d lines of that kind", maxPolicyLines)
	errPolicyQuorum = errors.New("the policy has exactly one line `quorum NAME`, whose name is defined before, or none")
)

// ParsePolicy reads a policy. The error names the line that is wrong, and repeats nothing of it.
func ParsePolicy(b []byte) (Policy, error) {
	p := Policy{groups: map[string]policyGroup{}}
	if len(b) > MaxPolicy {
		return p, errors.New("the policy is too long")
	}
	taken := map[string]bool{} // members of a group
	for i, line := range bytes.Split(b, []byte("\n")) {
		if err := p.line(line, taken); err != nil {
			return p, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	if p.quorum == "" {
		return p, errPolicyQuorum
	}
	return p, nil
}

func (p *Policy) line(line []byte, taken map[string]bool) error {
	for _, c := range line {
		if c < ' ' && c != '\t' || c == 0x7f {
			return errPolicyBytes
		}
	}
	words := strings.FieldsFunc(string(line), func(r rune) bool { return r == ' ' || r == '\t' })
	if len(words) == 0 || words[0][0] == '#' {
		return nil
	}
	kind, words := words[0], words[1:]
	switch {
	case kind == "log" && (len(words) == 1 || len(words) == 2):
		return p.log(words[0], strings.Join(words[1:], ""))
	case kind == "witness" && (len(words) == 2 || len(words) == 3):
		return p.witness(words[0], words[1], strings.Join(words[2:], ""))
	case kind == "group" && len(words) >= 3:
		return p.group(words[0], words[1], words[2:], taken)
	case kind == "quorum" && len(words) == 1:
		if p.quorum != "" || words[0] != noQuorum && !p.defined(words[0]) {
			return errPolicyQuorum
		}
		p.quorum = words[0]
		return nil
	}
	return errPolicyWords
}

func (p *Policy) log(vkey, url string) error {
	key, err := ParseKey(vkey)
	switch {
	case err != nil || key.Use != SignsNotes:
		return errPolicyLogKey
	case slices.ContainsFunc(p.Logs, func(l PolicyLog) bool { return l.Key.Public.Equal(key.Public) }):
		return errPolicyTwice
	case len(p.Logs) == maxPolicyLines:
		return errPolicyLong
	}
	p.Logs = append(p.Logs, PolicyLog{key, url})
	return nil
}

func (p *Policy) witness(name, vkey, url string) error {
	key, err := ParseKey(vkey)
	switch {
	case err != nil || key.Use != Cosigns:
		return errPolicyKey
	case slices.ContainsFunc(p.Witnesses, func(w PolicyWitness) bool { return w.Key.Public.Equal(key.Public) }):
		return errPolicyTwice
	case name == noQuorum || p.defined(name):
		return errPolicyName
	case len(p.Witnesses) == maxPolicyLines:
		return errPolicyLong
	}
	p.Witnesses = append(p.Witnesses, PolicyWitness{name, key, url})
	return nil
}

func (p *Policy) group(name, needed string, members []string, taken map[string]bool) error {
	if name == noQuorum || p.defined(name) {
		return errPolicyName
	}
	if len(p.groups) == maxPolicyLines {
		return errPolicyLong
	}
	for _, m := range members {
		if !p.defined(m) || taken[m] {
			return errPolicyMember
		}
		taken[m] = true
	}
	n := 0
	switch needed {
	case "all":
		n = len(members)
	case "any":
		n = 1
	default:
		var err error
		if n, err = strconv.Atoi(needed); err != nil || strconv.Itoa(n) != needed || n < 1 || n > len(members) {
			return errPolicyNumber
		}
	}
	p.groups[name] = policyGroup{n, members}
	return nil
}

// defined reports whether a witness or a group has a name.
func (p *Policy) defined(name string) bool {
	_, group := p.groups[name]
	return group || slices.ContainsFunc(p.Witnesses, func(w PolicyWitness) bool { return w.Name == name })
}

// Keys returns those of the witnesses.
func (p *Policy) Keys() []NamedKey {
	all := make([]NamedKey, len(p.Witnesses))
	for i, w := range p.Witnesses {
		all[i] = w.Key
	}
	return all
}

// NameOf returns what the policy calls the witness with a key.
func (p *Policy) NameOf(key NamedKey) string {
	for _, w := range p.Witnesses {
		if w.Key.Equal(key) {
			return w.Name
		}
	}
	return ""
}

// Enough reports whether the witnesses that cosigned a checkpoint are as many as, and those
// that, the quorum asks for.
func (p *Policy) Enough(all []Cosignature) bool {
	cosigned := map[string]bool{noQuorum: true}
	for _, c := range all {
		cosigned[p.NameOf(c.Witness)] = true
	}
	var counts func(name string) bool
	counts = func(name string) bool {
		g, group := p.groups[name]
		if !group {
			return cosigned[name]
		}
		n := 0
		for _, m := range g.members {
			if counts(m) {
				n++
			}
		}
		return n >= g.needed
	}
	return counts(p.quorum)
}

// NeedsAny reports whether the quorum asks for a cosignature at all.
func (p *Policy) NeedsAny() bool { return p.quorum != noQuorum }

// LogKeys returns the public keys whose checkpoints of a log count, by its origin.
func (p *Policy) LogKeys(origin string) (all []NamedKey) {
	for _, l := range p.Logs {
		if l.Key.Name == origin {
			all = append(all, l.Key)
		}
	}
	return all
}
