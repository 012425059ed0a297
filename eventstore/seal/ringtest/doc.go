// Package ringtest is the contract of a key ring over a database as tests, and
// what else tests need to rely on keys: a ring in a temporary directory ([New]), a
// keeper that counts and fails ([Keeper]), a medium that breaks ([Medium]), numbers
// of people who do not exist ([SSIN]).
package ringtest
