package proof

import (
	"fmt"
	"strings"
	"testing"
)

// witnesses makes keys w0, w1… and their lines of a policy.
func witnesses(t *testing.T, n int) (keys []NamedKey, lines string) {
	t.Helper()
	for i := range n {
		key, _ := cosigningKey(t, fmt.Sprintf("witness.example/%d", i))
		keys = append(keys, key)
		lines += fmt.Sprintf("witness w%d %s https://witness.example/%[1]d\n", i, key)
	}
	return keys, lines
}

func TestPolicySaysWhichWitnessesAreNeeded(t *testing.T) {
	keys, lines := witnesses(t, 5)
	for _, c := range []struct {
		name, rule string
		enough     []string // digits of the witnesses that cosigned
		short      []string
	}{
		{"none", "quorum none", []string{"", "0"}, nil},
		{"one witness", "quorum w1", []string{"1", "01"}, []string{"", "0", "234"}},
		{"any", "group g any w0 w1\nquorum g", []string{"0", "1"}, []string{"", "2"}},
		{"all", "group g all w0 w1\nquorum g", []string{"01", "012"}, []string{"0", "1", "12"}},
		{"two of three", "group g 2 w0 w1 w2\nquorum g", []string{"01", "12", "012"}, []string{"0", "23", "34"}},
		{"groups of groups", "group x 2 w0 w1 w2\ngroup y any w3 w4\ngroup both all x y\nquorum both", []string{"013", "124", "01234"}, []string{"012", "03", "34"}},
	} {
		p, err := ParsePolicy([]byte("# of two administrations\n\n \t" + lines + c.rule + "\n"))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		cosigned := func(digits string) (all []Cosignature) {
			for _, d := range digits {
				all = append(all, Cosignature{Witness: keys[d-'0']})
			}
			return all
		}
		for _, d := range c.enough {
			if !p.Enough(cosigned(d)) {
				t.Errorf("%s: %q is not enough", c.name, d)
			}
		}
		for _, d := range c.short {
			if p.Enough(cosigned(d)) {
				t.Errorf("%s: %q is enough", c.name, d)
			}
		}
		stranger, _ := cosigningKey(t, keys[0].Name)
		if len(c.short) > 0 && p.Enough([]Cosignature{{Witness: stranger}, {Witness: stranger}}) {
			t.Errorf("%s: a stranger counts", c.name)
		}
	}
}

// A policy that is wrong is refused with the number of its line, and none of its words.
func TestPolicyIsRefusedByLine(t *testing.T) {
	keys, lines := witnesses(t, 3)
	log := NamedKey{"log.example", SignsNotes, keys[0].Public}
	_, many := witnesses(t, maxPolicyLines+1)
	for name, c := range map[string]struct {
		policy string
		says   string
	}{
		"no quorum":                 {lines, errPolicyQuorum.Error()},
		"two quorums":               {lines + "quorum w0\nquorum w0\n", "line 5: " + errPolicyQuorum.Error()},
		"a quorum before its group": {lines + "quorum g\ngroup g any w0\n", "line 4: "},
		"an unknown word":           {lines + "secret42\n", "line 4: " + errPolicyWords.Error()},
		"no members":                {lines + "group g any\nquorum g\n", "line 4: "},
		"an unknown member":         {lines + "group g any w9\nquorum g\n", "line 4: " + errPolicyMember.Error()},
		"a member twice":            {lines + "group g any w0 w0\nquorum g\n", "line 4: "},
		"a member of two groups":    {lines + "group g any w0\ngroup h any w0\nquorum g\n", "line 5: "},
		"none as a member":          {lines + "group g any none\nquorum g\n", "line 4: "},
		"a number of none":          {lines + "group g 0 w0\nquorum g\n", "line 4: " + errPolicyNumber.Error()},
		"a number of too many":      {lines + "group g 2 w0\nquorum g\n", "line 4: "},
		"a number with a zero":      {lines + "group g 01 w0\nquorum g\n", "line 4: "},
		"a name twice":              {lines + "group w0 any w1\nquorum w0\n", "line 4: " + errPolicyName.Error()},
		"none as a name":            {lines + "group none any w1\nquorum none\n", "line 4: "},
		"a key twice":               {lines + "witness again " + NamedKey{"other", Cosigns, keys[1].Public}.String() + "\nquorum w0\n", "line 4: " + errPolicyTwice.Error()},
		"a log's key of a witness":  {"witness w " + log.String() + "\nquorum w\n", "line 1: " + errPolicyKey.Error()},
		"a witness's key of a log":  {"log " + keys[0].String() + "\nquorum none\n", "line 1: " + errPolicyLogKey.Error()},
		"a log twice":               {"log " + log.String() + "\nlog " + log.String() + " https://log.example\nquorum none\n", "line 2: "},
		"a carriage return":         {lines + "quorum w0\r\n", "line 4: " + errPolicyBytes.Error()},
		"a zero":                    {"\x00", "line 1: "},
		"too many":                  {many + "quorum w0\n", "line 33: " + errPolicyLong.Error()},
		"too long":                  {strings.Repeat("#", MaxPolicy+1), "too long"},
	} {
		_, err := ParsePolicy([]byte(c.policy))
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret42") {
			t.Errorf("%s: %v", name, err)
		}
	}
	p, err := ParsePolicy([]byte("log " + log.String() + " https://log.example\nquorum none"))
	if err != nil || p.NeedsAny() || len(p.LogKeys("log.example")) != 1 || len(p.LogKeys("other.example")) != 0 {
		t.Fatalf("%+v, %v", p, err)
	}
}
