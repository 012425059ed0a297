package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math/big"
	"time"

	"coffre/domain"
	"coffre/handlers/contract/wire"
)

// invented is a person who does not exist.
type invented struct {
	given, family string
	born          domain.Date
	ssin          domain.SSIN
	woman         bool
}

func (i invented) name() string { return i.given + " " + i.family }

// MarshalJSON tells who they are: they were made up, so that a test may look for
// what must not be found.
func (i invented) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"given": i.given, "family": i.family, "birthDate": string(i.born), "ssin": i.ssin.Reveal()})
}

func (i invented) wire() wire.SSIN { return wire.SSIN{SSIN: i.ssin} }

// family is the parents, the child and the aunt that the demonstration is about.
type family struct {
	mother, father, child, aunt invented
	tag                         string // makes this run's references its own
}

// Names that nobody bears, as far as one can know.
var (
	familyNames = []string{"Brammelaere", "Quistwater", "Duinegalm", "Vosselhaege", "Zwaluwendries", "Ommerschaut", "Pluymakkers", "Heggerijck"}
	womensNames = []string{"Liezelotte", "Odelijne", "Pomeline", "Wilhelmientje", "Amarante", "Fiorenne"}
	mensNames   = []string{"Wannick", "Ferdinor", "Joachimus", "Tibeaux", "Maurelius", "Evertjan"}
)

// inventFamily makes up two parents, a child of four to nine and an aunt, as of
// today. Every run has others, so that a demonstration can be played again where
// one was erased before.
func inventFamily(today time.Time) family {
	names := pick(familyNames, 2)
	women, men := pick(womensNames, 3), pick(mensNames, 1)
	year := today.Year()
	return family{
		mother: invent(women[0], names[0], year-41, 8, true),
		father: invent(men[0], names[1], year-43, 8, false),
		child:  invent(women[1], names[1], year-9, 5, true),
		aunt:   invent(women[2], names[0], year-69, 9, true),
		tag:    rand.Text()[:10],
	}
}

// invent makes up a person born in one of some years from first on.
func invent(given, family string, first, years int, woman bool) invented {
	born := time.Date(first+below(years), time.Month(1+below(12)), 1+below(28), 0, 0, 0, 0, time.UTC)
	return invented{given: given, family: family, born: domain.DateOf(born), ssin: inventSSIN(born, woman), woman: woman}
}

// inventSSIN makes up a number with right check digits that is nobody's: its month
// is one of 13 to 19, which neither the National Register nor the Crossroads Bank
// gives out (theirs are 00 to 12, 20 to 32 and 40 to 52).
func inventSSIN(born time.Time, woman bool) domain.SSIN {
	serial := 1 + 2*below(498) // odd for a man, 1 to 995
	if woman {
		serial++
	}
	n := int64(born.Year()%100)*10_000_000 + int64(13+below(7))*100_000 + int64(born.Day())*1_000 + int64(serial)
	check := 97 - n%97
	if born.Year() >= 2000 {
		check = 97 - (2_000_000_000+n)%97
	}
	ssin, err := domain.ParseSSIN(fmt.Sprintf("%09d%02d", n, check))
	if err != nil {
		panic(err) // the rule above is the rule it checks
	}
	return ssin
}

// pick returns n different words out of some.
func pick(from []string, n int) []string {
	from = append([]string(nil), from...)
	for i := range n {
		j := i + below(len(from)-i)
		from[i], from[j] = from[j], from[i]
	}
	return from[:n]
}

// below returns a random number from 0 to n-1.
func below(n int) int {
	i, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	return int(i.Int64())
}

// digits returns n random digits.
func digits(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + below(10))
	}
	return string(b)
}
