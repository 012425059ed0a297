//go:build tools

// The definition of OpenShift's Route lies in this module.
package main

import _ "github.com/openshift/api/route/v1"
