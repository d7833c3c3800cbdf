// A client of Envoy's Secret Discovery Service that is made from Envoy's public protocol files, as
// go-control-plane publishes them, and knows nothing of Avouch. It prints one line for each thing
// that works; whoever runs it compares them.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	transport "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secret "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const secretType = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	defer cancel()
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	client := secret.NewSecretDiscoveryServiceClient(connection)
	request := func() *discovery.DiscoveryRequest {
		return &discovery.DiscoveryRequest{
			Node:          &core.Node{Id: "outside"},
			TypeUrl:       secretType,
			ResourceNames: []string{"default", "ROOTCA"},
		}
	}

	fetched, err := client.FetchSecrets(ctx, request())
	if err != nil {
		return err
	}
	if _, err := show("fetched", fetched); err != nil {
		return err
	}

	stream, err := client.StreamSecrets(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(request()); err != nil {
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	before, err := show("streamed", first)
	if err != nil {
		return err
	}
	taken := request()
	taken.VersionInfo, taken.ResponseNonce = first.VersionInfo, first.Nonce
	if err := stream.Send(taken); err != nil {
		return err
	}
	// Whoever reads this line changes what the workload may hold.
	fmt.Println("ready")
	for {
		next, err := stream.Recv()
		if err != nil {
			return err
		}
		after, err := show("changed", next)
		if err != nil {
			return err
		}
		if after != before {
			return nil
		}
	}
}

// show prints whose certificate a response holds, once the key fits and the chain ends at a root of
// the same response.
func show(what string, response *discovery.DiscoveryResponse) (string, error) {
	var pair *tls.Certificate
	roots := x509.NewCertPool()
	for _, resource := range response.Resources {
		var one transport.Secret
		if err := resource.UnmarshalTo(&one); err != nil {
			return "", err
		}
		if err := one.ValidateAll(); err != nil {
			return "", err
		}
		if own := one.GetTlsCertificate(); own != nil {
			read, err := tls.X509KeyPair(
				own.CertificateChain.GetInlineBytes(), own.PrivateKey.GetInlineBytes())
			if err != nil {
				return "", err
			}
			pair = &read
		}
		if context := one.GetValidationContext(); context != nil {
			trusted := context.TrustedCa.GetInlineBytes()
			if block, _ := pem.Decode(trusted); block == nil || !roots.AppendCertsFromPEM(trusted) {
				return "", fmt.Errorf("%s: there are no roots", what)
			}
		}
	}
	if pair == nil {
		return "", fmt.Errorf("%s: there is no certificate", what)
	}
	intermediates := x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		read, err := x509.ParseCertificate(der)
		if err != nil {
			return "", err
		}
		intermediates.AddCert(read)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return "", err
	}
	options := x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		// The certificates of the tests are of that year.
		CurrentTime: leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2),
	}
	if _, err := leaf.Verify(options); err != nil {
		return "", err
	}
	id := leaf.URIs[0].String()
	fmt.Println(what, id)
	return id, nil
}
