// Package ringtest helps to test what relies on the key database: a medium that
// breaks where a test says.
package ringtest
