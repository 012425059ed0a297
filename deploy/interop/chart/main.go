// Command kubeserver is the API server of Kubernetes, and etcd, where it keeps its objects.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "etcd" {
		etcdmain.Main(append(os.Args[:1], os.Args[2:]...))
		return
	}
	os.Exit(cli.Run(app.NewAPIServerCommand()))
}
