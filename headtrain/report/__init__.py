"""One page that shows what runs learnt: a single file that opens from the disk, without network and without a server.

`contents` gathers what stands in it, `images` the small pictures, `page` puts both into the page.
"""
