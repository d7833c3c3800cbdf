// Reads what was issued as Kubernetes does: the certificate of a client as the API server, that of a
// kubelet as the API server calls it, and the cluster-info as kubeadm join.
package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"strings"

	request "k8s.io/apiserver/pkg/authentication/request/x509"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/cluster-bootstrap/token/jws"
)

func certificates(file string) []*x509.Certificate {
	text, err := os.ReadFile(file)
	if err != nil {
		panic(err)
	}
	var all []*x509.Certificate
	for {
		var block *pem.Block
		block, text = pem.Decode(text)
		if block == nil {
			return all
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			panic(err)
		}
		all = append(all, certificate)
	}
}

func pool(all []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, one := range all {
		pool.AddCert(one)
	}
	return pool
}

// How the API server believes a client, with its own authenticator.
func client(ca, chain string) error {
	options := request.DefaultVerifyOptions()
	options.Roots = pool(certificates(ca))
	authenticator := request.New(options, request.CommonNameUserConversion)
	call := &http.Request{TLS: &tls.ConnectionState{PeerCertificates: certificates(chain)}}
	found, ok, err := authenticator.AuthenticateRequest(call)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("not authenticated")
	}
	fmt.Printf("%s %s\n", found.User.GetName(), strings.Join(found.User.GetGroups(), ","))
	return nil
}

// How the API server believes a kubelet that it calls.
func serving(ca, chain, host string) error {
	all := certificates(chain)
	_, err := all[0].Verify(x509.VerifyOptions{
		Roots: pool(certificates(ca)), Intermediates: pool(all[1:]), DNSName: host,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return err
}

// How kubeadm pins a CA.
func hash(ca string) error {
	sum := sha256.Sum256(certificates(ca)[0].RawSubjectPublicKeyInfo)
	fmt.Println("sha256:" + hex.EncodeToString(sum[:]))
	return nil
}

// How kubeadm believes a cluster-info.
func info(content, signature, token string) error {
	text, err := os.ReadFile(content)
	if err != nil {
		return err
	}
	name, secret, _ := strings.Cut(token, ".")
	if !jws.DetachedTokenIsValid(signature, string(text), name, secret) {
		return fmt.Errorf("the signature does not hold")
	}
	return nil
}

// How a kubelet reads its kubeconfig, with the key and the certificates that it names.
func kubeconfig(file string) error {
	found, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		return err
	}
	if _, err := rest.TLSConfigFor(found); err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(found.CertFile, found.KeyFile)
	if err != nil {
		return err
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return err
	}
	fmt.Printf("%s %s\n", found.Host, leaf.Subject.CommonName)
	return nil
}

func main() {
	var err error
	switch args := os.Args[1:]; args[0] {
	case "client":
		err = client(args[1], args[2])
	case "serving":
		err = serving(args[1], args[2], args[3])
	case "hash":
		err = hash(args[1])
	case "kubeconfig":
		err = kubeconfig(args[1])
	case "info":
		err = info(args[1], args[2], args[3])
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
