package main

import (
	"strings"
	"testing"

	"coffre/cmd/coffre/vault"
)

func TestTypedPlacesCountBeforeVariables(t *testing.T) {
	pg, other := "postgres://u:secret-word@h/d", "postgres://u@other/d"
	if _, err := typedOver(vault.StoresConfig{Log: "esdb://u:secret-word@h"}, vault.StoresConfig{}, ownPlaces); err == nil || strings.Contains(err.Error(), "secret-word") {
		t.Errorf("taken, or told: %v", err)
	}
	// What is typed counts before the variable, and holds no password.
	if c, err := typedOver(vault.StoresConfig{Log: other}, vault.StoresConfig{Log: pg, Keys: pg}, ownPlaces); err != nil || c != (vault.StoresConfig{Log: other, Keys: pg}) {
		t.Error(err)
	}
	for _, typed := range []string{pg, "postgres://u@h/d?password=secret-word", "elsewhere"} {
		if _, err := typedOver(vault.StoresConfig{Keys: typed}, vault.StoresConfig{}, ownPlaces); err == nil || strings.Contains(err.Error(), "secret-word") {
			t.Errorf("taken, or told: %v", err)
		}
	}
}
