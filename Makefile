# The same names as ./run, for fingers used to make.
.PHONY: setup demo test check bench bench-setup clean
setup demo test check bench-setup clean:
	@./run $@ $(ARGS)
bench:
	@./run bench $(NAME) $(ARGS)
