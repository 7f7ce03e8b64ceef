package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/mail"
	"os"
	"time"
)

func (v *validator) serverTLS() {
	t := &v.c.Server.TLS
	if t.Mode == "files" && len(t.Certificates) == 0 {
		v.add("server.tls.certificates", "server.tls.mode is files and there is no certificate", "such as certificates: [{cert: cert.pem, key: key.pem}]")
	}
	if len(t.Certificates) > 0 && t.Mode != "files" && t.Mode != "auto" {
		v.add("server.tls.certificates", "certificates are not used when server.tls.mode is "+t.Mode, "set mode: files, or remove them")
	}
	for i, c := range t.Certificates {
		v.keyPair(fmt.Sprintf("server.tls.certificates[%d]", i), c.Cert, c.Key)
	}
	if t.Email != "" {
		if a, err := mail.ParseAddress(t.Email); err != nil || a.Address != t.Email {
			v.value("server.tls.email", t.Email, "is not an e-mail address", "")
		}
	}
	if t.ClientCA != "" {
		v.authorities("server.tls.client_ca", t.ClientCA)
		if t.Mode == "off" {
			v.add("server.tls.client_ca", "client certificates need TLS and server.tls.mode is off", "remove one of the two")
		}
	} else if t.ClientAuth != "" {
		v.add("server.tls.client_auth", "client_auth means nothing without client_ca", "set client_ca")
	}
}

// keyPair checks that a certificate and its key are there, load and belong together.
func (v *validator) keyPair(path, cert, key string) {
	if cert == "" || key == "" || v.broken(path+".cert") || v.broken(path+".key") {
		return // reported
	}
	certPEM, err := os.ReadFile(cert)
	if err != nil {
		v.add(path+".cert", "cannot be read: "+reason(err), "")
		return
	}
	keyPEM, err := os.ReadFile(key)
	if err != nil {
		v.add(path+".key", "cannot be read: "+reason(err), "")
		return
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		// crypto/tls names what is wrong and holds no key material.
		v.add(path+".cert", "certificate and key do not load: "+err.Error(), "both must be PEM and belong together")
		return
	}
	if info, err := os.Stat(key); err == nil && info.Mode().Perm()&0o077 != 0 {
		v.warn(path+".key", fmt.Sprintf("the key can be read by others (mode %04o)", info.Mode().Perm()), "chmod 600 "+key)
	}
	if leaf := pair.Leaf; leaf != nil {
		switch left := time.Until(leaf.NotAfter); {
		case left < 0:
			v.warn(path+".cert", "the certificate expired on "+leaf.NotAfter.Format(time.DateOnly), "renew it")
		case left < 14*24*time.Hour:
			v.warn(path+".cert", "the certificate expires on "+leaf.NotAfter.Format(time.DateOnly), "renew it")
		}
	}
}

// authorities checks that a PEM file holds certificates.
func (v *validator) authorities(path, name string) {
	if v.broken(path) {
		return
	}
	data, err := os.ReadFile(name)
	if err != nil {
		v.add(path, "cannot be read: "+reason(err), "")
		return
	}
	if !x509.NewCertPool().AppendCertsFromPEM(data) {
		v.add(path, "holds no certificate", "it must be PEM: -----BEGIN CERTIFICATE-----")
	}
}
