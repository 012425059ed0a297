package main

import (
	"sync"

	samples "coffre/deploy/registry"
	"coffre/domain"
	"coffre/domain/registry"
	"coffre/projections/vocabulary"
)

// discountText returns what a citizen is shown, in English, before they let the railways read
// for the family discount: the text of the sample registry.
var discountText = sync.OnceValue(func() string { return sampleText(familyDiscount, railways) })

// recruitmentText is the same for the administration that recruits.
var recruitmentText = sync.OnceValue(func() string { return sampleText("recruitment", mayAsk) })

func sampleText(purpose domain.Purpose, consumer domain.Organisation) string {
	all, err := vocabulary.Load(samples.Files, nil)
	if err != nil {
		panic(err)
	}
	words, err := vocabulary.Compile(registry.Published{Version: 1, Registry: all})
	if err != nil {
		panic(err)
	}
	return words.ConsentText(purpose, consumer, "en", "1")
}
