"""What shows that a response worked: tried over real sockets, counted at the receivers.

`places` opens sockets where a service stands; `witness` holds connections that were open before;
`network` tries every way in and out of a suspect; `certificate` shows a certificate to its peers;
`persisting` looks again.
"""
