// Command reach is what reach_test.go looks at: each declaration that its main
// function comes to has a name that begins with "reached".
package main

import (
	"fmt"
	"os"
)

type reachedPort interface{ reachedCall() }

type reachedAdapter struct{}

func (reachedAdapter) reachedCall() {}

func (reachedAdapter) String() string { return "called by package fmt" }

func (reachedAdapter) deadMethod() { deadFunction() }

type deadAdapter struct{}

func (deadAdapter) reachedCall() {} // of a type that nothing makes

func deadFunction() {}

type reachedGeneric[T any] struct{ is T }

func (g reachedGeneric[T]) reachedMethod() T { return g.is }

func (g reachedGeneric[T]) deadMethod() {}

var reachedVariable = reachedValue()

func reachedValue() int { return 1 }

func init() { reachedByInit() }

func reachedByInit() {}

func main() {
	var p reachedPort = reachedAdapter{}
	p.reachedCall()
	f := reachedGeneric[int].reachedMethod
	fmt.Fprintln(os.Stdout, p, f(reachedGeneric[int]{}), reachedVariable)
}
